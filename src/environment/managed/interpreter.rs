//! Finds a Python of a wanted version on this machine.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use pep440_rs::Version;

use super::definition::Definition;
use crate::exec::ask::{self, Reply};
use crate::fs::program::is_program;

/// A Python that can make environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::environment) struct Interpreter {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
}

/// The timeout for an interpreter's answer.
const LIMIT: Duration = Duration::from_secs(20);

/// The versions of Python 3 to look for, newest first: `python3.14` to `python3.6`.
const MINORS: std::ops::RangeInclusive<u8> = 6..=14;

/// The Python for an environment: the active one if it fits, otherwise the newest that fits, on `PATH` or among those
/// that pyenv installed. `None` if there is none.
pub(in crate::environment) fn find(definition: &Definition) -> Option<Interpreter> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let named = MINORS.rev().map(|minor| format!("python3.{minor}"));
    let names = ["python3", "python"].map(str::to_owned).into_iter().chain(named);
    let on_path = names.flat_map(|name| folders.iter().map(move |folder| folder.join(&name)).collect::<Vec<_>>());
    let programs = on_path.chain(of_pyenv()).filter(|program| is_program(program));
    // Version managers put a script under every name, which fails for versions that are not active.
    programs.filter_map(|program| ask_version(&program)).find(|found| definition.allows(&found.version))
}

/// The interpreters that pyenv installed, newest first.
fn of_pyenv() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let folders = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok()).into_iter().flatten().flatten();
    let version = |path: &Path| Version::from_str(path.file_name()?.to_str()?).ok();
    let mut found: Vec<(Version, PathBuf)> =
        folders.filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin/python")))).collect();
    found.sort_by(|a, b| b.0.cmp(&a.0));
    found.into_iter().map(|(_, program)| program).collect()
}

/// A program's version, if it is a Python 3 that answers.
fn ask_version(program: &Path) -> Option<Interpreter> {
    let script = "import sys; print('.'.join(map(str, sys.version_info[:3])))";
    let Reply::Printed(text) = ask::ask(program, &["-I", "-c", script], Path::new("/"), LIMIT) else { return None };
    let version = Version::from_str(String::from_utf8_lossy(&text).trim()).ok()?;
    (version.release().first() == Some(&3)).then(|| Interpreter { program: program.to_owned(), version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_of_this_machine_is_found_and_an_impossible_one_is_not() {
        let any = find(&Definition::default()).expect("the tests need a Python");
        assert!(is_program(&any.program));
        let impossible = Definition { python: "==3.99.*".parse().ok(), ..Definition::default() };
        assert_eq!(find(&impossible), None);
    }
}
