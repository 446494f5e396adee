//! What this machine has instead of Azure ML's environments: the active Python, and the programs on `PATH`.

use std::path::{Path, PathBuf};

use crate::engine::Decision;
use crate::environment::{Host, Look};
use crate::fs::program::on_path;
use crate::plan::Plan;
use crate::store::Home;

/// What steps find on this machine in addition to their files. Version managers search from the folder `near`. `passed`
/// are the variables that the project passes to its steps. No program is started when the project is not trusted.
pub(crate) fn look(near: &Path, passed: &[String], is_strange: bool) -> Host {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let search: Vec<PathBuf> = std::env::split_paths(&path).chain(own_folder()).collect();
    Host::look(&Look { search: &search, near, passed, is_strange })
}

/// The Python that steps use: `python`, or else `python3`.
fn python() -> Option<PathBuf> {
    on_path("python", None).or_else(|| on_path("python3", None))
}

/// The folder of this program, which also has `amlrun-stage`.
fn own_folder() -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned))
}

/// Folders to append to a step's `PATH`: the folder of this program, which also has `amlrun-stage`, and a folder with
/// `python` when the machine has only `python3`. Also returns a note that explains how environments are handled.
pub(crate) fn path(home: &Home, plan: &Plan, decisions: &[Decision]) -> (Vec<PathBuf>, Option<String>) {
    let mut folders: Vec<PathBuf> = own_folder().into_iter().collect();
    if !decisions.iter().any(Decision::may_run) {
        return (folders, None);
    }
    if !uses_python(plan) {
        return (folders, None);
    }
    let python3 = on_path("python3", None);
    if let (None, Some(python3)) = (on_path("python", None), &python3) {
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
