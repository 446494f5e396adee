//! What this machine has in place of Azure ML's environments: the active Python, and the programs on `PATH`.

use std::path::{Path, PathBuf};

use crate::engine::Decision;
use crate::environment::{Host, Look, is_program};
use crate::plan::Plan;
use crate::store::Home;

/// What steps find on this machine beside their files. `near` is where version managers begin to look; `passed` are the
/// variables that the project passes on. Of a project that may be a stranger's no program is started.
pub(crate) fn look(near: &Path, passed: &[String], is_strange: bool) -> Host {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let search: Vec<PathBuf> = std::env::split_paths(&path).chain(own_folder()).collect();
    Host::look(&Look { search: &search, near, passed, is_strange })
}

/// The Python that steps get: what `python` is, else `python3`.
fn python() -> Option<PathBuf> {
    find("python").or_else(|| find("python3"))
}

/// Where this program is, and `amlrun-stage` with it.
fn own_folder() -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned))
}

/// Folders to add at the end of a step's `PATH`: the one with this program, where `amlrun-stage` lies too, and one with a
/// `python` where the machine has only `python3`. With it a note that says how environments are met.
pub(crate) fn path(home: &Home, plan: &Plan, decisions: &[Decision]) -> (Vec<PathBuf>, Option<String>) {
    let mut folders: Vec<PathBuf> = own_folder().into_iter().collect();
    if !decisions.iter().any(Decision::may_run) {
        return (folders, None);
    }
    if !uses_python(plan) {
        return (folders, None);
    }
    let python3 = find("python3");
    if let (None, Some(python3)) = (find("python"), &python3) {
        let shim = home.shims().join("python");
        let made = std::fs::create_dir_all(home.shims()).is_ok()
            && (std::os::unix::fs::symlink(python3, &shim).is_ok() || shim.exists());
        folders.extend(made.then(|| home.shims()));
    }
    let note = match python() {
        Some(python) => format!("environments are met by this machine: {}", python.display()),
        None => "environments are met by this machine, which has no Python".to_owned(),
    };
    (folders, Some(note))
}

fn uses_python(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| step.substitute.is_none() && step.command.contains("python"))
}

/// A program on `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_program(file))
}
