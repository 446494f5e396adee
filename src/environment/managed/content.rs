//! What is installed in a built environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::digest::Digest;
use crate::exec::ask::{self, Reply};

/// The version of Python and the versions of all packages, those of conda included. `None` if the environment's Python
/// does not answer. An environment without a Python, such as one for R, has an empty version.
pub(super) fn read(env: &Path) -> Option<(String, BTreeMap<String, String>)> {
    let python = env.join("bin/python");
    let (version, mut packages) = if python.exists() { of_python(&python)? } else { Default::default() };
    for (name, version) in of_conda(env) {
        packages.entry(name).or_insert(version);
    }
    (python.exists() || !packages.is_empty()).then_some((version, packages))
}

/// The version and the distributions of a Python.
fn of_python(python: &Path) -> Option<(String, BTreeMap<String, String>)> {
    // A package that was not installed from an index by its version has its address behind the version (PEP 610).
    const SCRIPT: &str = r#"
import json, platform, re
from importlib import metadata
def version(found):
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if not origin.get("url"):
        return found.version
    # A password or a signature does not belong into records.
    address = re.sub("//[^/@]*@", "//", origin["url"].split("?")[0])
    exact = origin.get("vcs_info", {}).get("commit_id") or origin.get("archive_info", {}).get("hash")
    return "%s (%s)" % (found.version, " ".join(filter(None, [address, exact])))
print(json.dumps([platform.python_version(),
                  {d.metadata["Name"]: version(d) for d in metadata.distributions() if d.metadata["Name"]}]))
"#;
    // `importlib.metadata` is from Python 3.8; before that, pip answers.
    const OLD: &str = "import json, platform, pkg_resources\n\
        print(json.dumps([platform.python_version(), {d.project_name: d.version for d in pkg_resources.working_set}]))";
    [SCRIPT, OLD].into_iter().find_map(|script| {
        let reply = ask::ask(python, &["-I", "-c", script], Path::new("/"), Duration::from_secs(60));
        let Reply::Printed(text) = reply else { return None };
        serde_json::from_slice(&text).ok()
    })
}

/// The packages that a conda tool installed, from its records.
fn of_conda(env: &Path) -> Vec<(String, String)> {
    #[derive(Deserialize)]
    struct Record {
        name: String,
        version: String,
    }
    let records =
        entries(&env.join("conda-meta")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "json"));
    let read = |path: PathBuf| serde_json::from_slice::<Record>(&std::fs::read(path).ok()?).ok();
    records.filter_map(read).map(|record| (record.name, record.version)).collect()
}

/// A mark of the installed packages, for noticing that somebody changed them: pip and conda keep a folder or file for
/// each package, with the version in its name.
pub(super) fn mark(env: &Path) -> Digest {
    let pythons = entries(&env.join("lib")).into_iter().map(|folder| folder.join("site-packages"));
    let folders = pythons.chain([env.join("conda-meta")]);
    let is_record =
        |name: &str| [".dist-info", ".egg-info", ".egg-link", ".json"].iter().any(|end| name.ends_with(end));
    let names = folders.flat_map(|folder| entries(&folder));
    let mut names: Vec<String> = names.map(|path| path.display().to_string()).filter(|name| is_record(name)).collect();
    names.sort_unstable();
    Digest::of(names.join("\n").as_bytes())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_installed_package_changes_the_mark_and_byte_code_does_not() {
        let root = tempfile::tempdir().unwrap();
        let packages = root.path().join("lib/python3.11/site-packages");
        fs::create_dir_all(packages.join("click-8.1.0.dist-info")).unwrap();
        let before = mark(root.path());
        fs::create_dir(packages.join("__pycache__")).unwrap();
        assert_eq!(mark(root.path()), before);
        fs::rename(packages.join("click-8.1.0.dist-info"), packages.join("click-8.1.7.dist-info")).unwrap();
        assert_ne!(mark(root.path()), before);
    }

    #[test]
    fn packages_of_conda_are_read_from_its_records() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()), None);
        fs::create_dir(root.path().join("conda-meta")).unwrap();
        fs::write(root.path().join("conda-meta/r-base-4.1.json"), r#"{"name": "r-base", "version": "4.1"}"#).unwrap();
        let (python, packages) = read(root.path()).unwrap();
        assert_eq!((python.as_str(), packages["r-base"].as_str()), ("", "4.1"));
    }
}
