//! An image with the packages of a conda file on top of another image.
//!
//! As on Azure ML, the packages get an environment of their own, and its programs come first. conda installs it where the
//! image has conda; otherwise the image's own Python and pip do, with the packages under the names that PyPI has.

use std::path::{Path, PathBuf};

use super::image::{Image, made};
use crate::digest::Digest;
use crate::environment::container::Packages;
use crate::fs::atomic::{self, Durability};
use crate::store::tree;

/// Where the files for the installation are in the image. Projects with `-e` stay there.
const FOLDER: &str = "/opt/amlrun-environment";

/// Installs the environment. Its first argument is the versions of Python that are allowed, the others are names of
/// interpreters to try.
const INSTALL: &str = r#"set -euo pipefail
cd /opt/amlrun-environment
allowed=$1; shift
fail() { echo "ERROR: $*" >&2; exit 1; }
if [ -f conda.yml ] && conda=$(command -v mamba || command -v conda); then
    exec "$conda" env create --quiet --prefix "$PWD/env" --file conda.yml
fi
[ ! -f conda-only.txt ] || fail "the image has no conda, and PyPI does not have $(cat conda-only.txt)"
fits() {
    "$1" -I -c '
import platform, sys
try:
    from pip._vendor.packaging.specifiers import SpecifierSet
except ImportError:
    sys.exit(0)
sys.exit(not SpecifierSet(sys.argv[1]).contains(platform.python_version(), prereleases=True))' "$allowed"
}
for name in "$@"; do
    python=$(command -v "$name") && { [ -z "$allowed" ] || fits "$python"; } && break
    python=
done
[ -n "$python" ] || fail "the image has no conda and no Python ${allowed:-3}"
"$python" -m venv env
[ ! -s requirements.txt ] || env/bin/python -m pip install --no-input --disable-pip-version-check -r requirements.txt
"#;

/// The name of the image with these packages on top of that one.
///
/// # Errors
/// A message, if a file that is installed cannot be read.
pub(super) fn name(base: &Image, packages: &Packages) -> Result<String, String> {
    let definition = &packages.definition;
    let mut text = format!("{}\n{INSTALL}\n{}\n", base.id, definition.digest());
    text.extend(packages.conda.iter().map(|file| format!("{}\n", file.text)));
    for path in local(packages) {
        let digest = Digest::of_tree(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        text.push_str(&format!("{digest}\n"));
    }
    Ok(made(&Digest::of(text.as_bytes())))
}

/// Writes the folder from which the image is built, with its `Dockerfile`.
///
/// # Errors
/// A message, if something cannot be read or written.
pub(super) fn write(base: &Image, packages: &Packages, folder: &Path) -> Result<(), String> {
    let definition = &packages.definition;
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        // An address in it may contain a password.
        atomic::write_private(&path, text, Durability::Unsynced)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to.parent().unwrap_or(to)).map_err(|error| error.to_string())?;
        tree::copy_tree(from, to).map_err(|error| error.to_string())
    };
    let mut lines: Vec<String> = definition.options.iter().chain(&definition.requirements).cloned().collect();
    for (number, path) in local(packages).iter().enumerate() {
        let inner = format!("files/{number}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        copy(path, &folder.join(&inner))?;
        let (here, there) = (path.display().to_string(), format!("{FOLDER}/{inner}"));
        lines.iter_mut().for_each(|line| *line = line.replace(&here, &there));
        // conda reads the paths as they are written, from the folder of the file.
        let written = packages.conda.as_ref().and_then(|file| path.strip_prefix(&file.folder).ok());
        if let Some(written) = written.map(|inner| folder.join(inner)).filter(|written| !written.exists()) {
            copy(path, &written)?;
        }
    }
    put("requirements.txt", &lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    if let Some(file) = &packages.conda {
        put("conda.yml", &file.text)?;
    }
    if let Some(conda) = &definition.conda {
        put("conda-only.txt", &conda.only.join(", "))?;
    }
    put("install.sh", INSTALL)?;
    let allowed = definition.python.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut words = vec!["bash".to_owned(), format!("{FOLDER}/install.sh"), allowed.clone()];
    words.extend(pythons(&allowed));
    let install = serde_json::to_string(&words).unwrap_or_default();
    let from = base_name(base);
    let dockerfile = format!(
        "FROM {from}\nUSER 0\nCOPY . {FOLDER}/\nRUN {install}\nENV PATH={FOLDER}/env/bin:$PATH \
         VIRTUAL_ENV={FOLDER}/env CONDA_PREFIX={FOLDER}/env\n"
    );
    put("Dockerfile", &dockerfile)
}

/// The name under which the base image is built upon: not all engines build upon an id.
pub(super) fn base_name(base: &Image) -> String {
    format!("localhost/amlrun/base:{}", base.id.chars().take(16).collect::<String>())
}

/// The files and folders of the user that are installed, or that options name.
fn local(packages: &Packages) -> Vec<PathBuf> {
    let options = packages.definition.options.iter();
    let constraints = options.filter_map(|option| option.strip_prefix("--constraint ")).map(PathBuf::from);
    let mut all: Vec<PathBuf> = packages.definition.local.iter().cloned().chain(constraints).collect();
    // A folder comes before what is in it.
    all.sort();
    all.dedup();
    all
}

/// The names of interpreters to try: that of an exact version first.
fn pythons(allowed: &str) -> Vec<String> {
    let version = allowed.trim_start_matches("==").trim_end_matches(".*");
    let minor: String = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let exact = minor.chars().all(|c| c.is_ascii_digit() || c == '.') && minor.contains('.');
    let exact = exact.then(|| format!("python{minor}"));
    exact.into_iter().chain(["python3".to_owned(), "python".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::managed::definition::Definition;
    use crate::spec::environment::CondaFile;

    fn packages(folder: &Path) -> Packages {
        let wheel = folder.join("wheels/tool.whl");
        let definition = Definition {
            python: "==3.11.*".parse().ok(),
            requirements: vec![wheel.display().to_string(), "click==8.1.7".to_owned()],
            local: vec![wheel],
            ..Definition::default()
        };
        let conda = CondaFile { text: "dependencies: []".to_owned(), folder: folder.to_owned(), file: None };
        Packages { conda: Some(conda), definition }
    }

    #[test]
    fn the_users_files_go_into_the_image_and_decide_about_its_name() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(from.path().join("wheels")).unwrap();
        std::fs::write(from.path().join("wheels/tool.whl"), "one").unwrap();
        let packages = packages(from.path());
        let base = Image { id: "abc".to_owned(), platform: "linux/amd64".to_owned() };
        let before = name(&base, &packages).unwrap();
        write(&base, &packages, to.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(to.path().join(name)).unwrap();
        assert_eq!(read("requirements.txt"), format!("{FOLDER}/files/0/tool.whl\nclick==8.1.7\n"));
        assert_eq!((read("files/0/tool.whl"), read("wheels/tool.whl")), ("one".to_owned(), "one".to_owned()));
        let dockerfile = read("Dockerfile");
        assert!(
            dockerfile.starts_with("FROM localhost/amlrun/base:abc\n")
                && dockerfile.contains(r#""==3.11.*","python3.11""#),
            "{dockerfile}"
        );
        std::fs::write(from.path().join("wheels/tool.whl"), "two").unwrap();
        assert_ne!(name(&base, &packages).unwrap(), before);
        let other = Image { id: "def".to_owned(), ..base };
        assert_ne!(
            name(&other, &packages).unwrap(),
            name(&Image { id: "abc".to_owned(), ..other.clone() }, &packages).unwrap()
        );
    }

    #[test]
    fn an_exact_version_is_looked_for_first() {
        assert_eq!(pythons("==3.11.*"), ["python3.11", "python3", "python"]);
        assert_eq!(pythons("==3.11.4"), ["python3.11", "python3", "python"]);
        assert_eq!(pythons(">=3.8, <4"), ["python3", "python"]);
        assert_eq!(pythons(""), ["python3", "python"]);
    }
}
