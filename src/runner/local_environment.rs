//! The environment that this machine provides for all steps: the active Python, and the programs on `PATH`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::engine::{Decision, EnvironmentProvider, ServiceError, StepEnvironment};
use crate::environment::{Host, Look};
use crate::exec::Executor;
use crate::fs::program::on_path;
use crate::plan::{Command, Plan};
use crate::store::Home;

/// Runs every step with what is installed on this machine, whichever environment it names.
pub(crate) struct LocalEnvironment {
    executor: Arc<dyn Executor>,
    home: Home,
    /// `PATH` without and with a folder that has `python`.
    search_paths: [OnceLock<String>; 2],
}

impl LocalEnvironment {
    /// The environment for the runs of a workspace. `executor` runs the commands.
    pub(crate) fn new(executor: Arc<dyn Executor>, home: Home) -> Self {
        Self { executor, home, search_paths: Default::default() }
    }
}

impl EnvironmentProvider for LocalEnvironment {
    fn provide(&self, command: &Command) -> Result<StepEnvironment, ServiceError> {
        let needs_python = uses_python(command);
        let search_path = self.search_paths[usize::from(needs_python)].get_or_init(|| {
            let shim = needs_python.then(|| python_shim(&self.home)).flatten();
            search_path(own_folder().into_iter().chain(shim))
        });
        Ok(StepEnvironment { executor: self.executor.clone(), search_path: search_path.clone() })
    }
}

/// A note that explains how environments are handled, for a plan with steps that use Python.
pub(crate) fn note(plan: &Plan, decisions: &[Decision]) -> Option<String> {
    let commands = plan.steps.iter().filter(|step| step.substitute.is_none()).filter_map(|step| step.command());
    if !decisions.iter().any(Decision::may_run) || !commands.into_iter().any(uses_python) {
        return None;
    }
    Some(match on_path("python", None).or_else(|| on_path("python3", None)) {
        Some(python) => format!("environments are met by this machine: {}", python.display()),
        None => "environments are met by this machine, which has no Python".to_owned(),
    })
}

/// What steps find on this machine in addition to their files. Version managers search from the folder `near`. `passed`
/// are the variables that the project passes to its steps. No program is started when the project is not trusted.
pub(crate) fn host(near: &Path, passed: &[String], is_strange: bool) -> Host {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let search: Vec<PathBuf> = std::env::split_paths(&path).chain(own_folder()).collect();
    Host::look(&Look { search: &search, near, passed, is_strange })
}

/// The folder of this program, which also has `amlrun-stage`.
fn own_folder() -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned))
}

/// A folder with `python`, for a machine that has only `python3`.
fn python_shim(home: &Home) -> Option<PathBuf> {
    let (None, Some(python3)) = (on_path("python", None), on_path("python3", None)) else { return None };
    let shim = home.shims().join("python");
    std::fs::create_dir_all(home.shims()).ok()?;
    (std::os::unix::fs::symlink(python3, &shim).is_ok() || shim.exists()).then(|| home.shims())
}

fn uses_python(command: &Command) -> bool {
    command.text.contains("python")
}

/// The runner's `PATH`, followed by other folders.
fn search_path(folders: impl Iterator<Item = PathBuf>) -> String {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&own).chain(folders);
    std::env::join_paths(folders).unwrap_or(own).to_string_lossy().into_owned()
}
