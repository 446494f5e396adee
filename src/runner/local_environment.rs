//! Provides the environments of steps on this machine: the active Python and the programs on `PATH`, or an environment
//! that is built from what the file names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::container_environment::ContainerEnvironment;
use super::overlays::Overlays;
use super::tools;
use crate::digest::Digest;
use crate::engine::{Decision, EnvironmentProvider, Providing, ServiceError, StepEnvironment};
use crate::environment::managed::BuildError;
use crate::environment::managed::build::{self, BuildObserver};
use crate::environment::managed::store::{Ready, Store};
use crate::environment::resolve::{Managed, Resolution};
use crate::environment::{Environments, Host, Look};
use crate::event::{Bus, EventKind};
use crate::exec::process::LocalProcess;
use crate::exec::{Executor, StopWatch};
use crate::fs::program::on_path;
use crate::plan::{Command, Plan, Program};
use crate::store::Home;

/// Provides the environments of a run: this machine's own Python, or an environment that is built from its definition.
pub(crate) struct LocalEnvironment {
    executor: Arc<dyn Executor>,
    containers: ContainerEnvironment,
    home: Home,
    environments: Arc<Environments>,
    bus: Arc<Bus>,
    /// The built environments whose content is recorded.
    announced: Mutex<HashSet<Digest>>,
    /// One step of this run at a time makes an environment ready.
    turns: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    /// Why environments could not be built: other steps that need them do not try again.
    failed: Mutex<HashMap<Digest, ServiceError>>,
    /// Whether a step of the run names Python. Then all steps find `python`: scripts may call it, too.
    needs_python: bool,
    search_path: OnceLock<String>,
    overlays: Arc<Overlays>,
}

impl LocalEnvironment {
    /// The provider for one run. `executor` runs the commands, and the builds of environments.
    pub(crate) fn new(
        executor: Arc<LocalProcess>,
        home: Home,
        environments: Arc<Environments>,
        containers: ContainerEnvironment,
        bus: Arc<Bus>,
        plan: &Plan,
    ) -> Self {
        let needs_python = plan.all_steps().into_iter().filter_map(crate::plan::Step::command).any(uses_python);
        Self {
            executor,
            overlays: Arc::new(Overlays::new(home.clone())),
            containers,
            home,
            environments,
            bus,
            announced: Mutex::default(),
            turns: Mutex::default(),
            failed: Mutex::default(),
            needs_python,
            search_path: OnceLock::new(),
        }
    }

    /// What is installed on this machine.
    fn host(&self) -> StepEnvironment {
        let search_path = self.search_path.get_or_init(|| {
            let shim = self.needs_python.then(|| python_shim(&self.home)).flatten();
            search_path(own_folder().into_iter().chain(shim))
        });
        StepEnvironment {
            executor: self.executor.clone(),
            search_path: Some(search_path.clone()),
            variables: Vec::new(),
            name: None,
            keeps: None,
        }
    }

    /// An environment that is built, unless it was built before.
    async fn managed(&self, step: &str, managed: &Managed, stop: StopWatch) -> Result<StepEnvironment, ServiceError> {
        let name = &managed.name;
        let no_store = || ServiceError::Permanent(format!("the environment '{name}' cannot be built: HOME is not set"));
        let store = self.environments.store.as_ref().ok_or_else(no_store)?;
        let turn = self.turns().entry(managed.digest.clone()).or_default().clone();
        let _turn = turn.lock().await;
        if let Some(error) = self.failed().get(&managed.digest) {
            return Err(error.clone());
        }
        let began = Arc::new(OnceLock::new());
        // What was there at the beginning of the run is what its steps use.
        let known = self.environments.ready(managed).map(|built| built.ready.clone());
        let ready = match known {
            Some(ready) => ready,
            None => self.build(step, managed, store, stop, &began).await?,
        };
        self.announce(step, managed, &ready, began.get());
        let env = ready.bin.parent().unwrap_or(&ready.bin).display().to_string();
        let mut variables = managed.definition.variables.clone();
        variables.push(("VIRTUAL_ENV".to_owned(), env));
        Ok(StepEnvironment {
            executor: self.executor.clone(),
            search_path: Some(ready.search_path(own_folder().into_iter())),
            variables,
            name: Some(name.clone()),
            // It is not removed meanwhile.
            keeps: Some(Arc::new(ready)),
        })
    }
}

impl LocalEnvironment {
    /// Builds an environment. If that fails, the other steps of the run do not try again.
    async fn build(
        &self,
        step: &str,
        managed: &Managed,
        store: &Store,
        stop: StopWatch,
        began: &Arc<OnceLock<Instant>>,
    ) -> Result<Ready, ServiceError> {
        let observer = self.observer(step, managed, began.clone());
        build::ready(managed, store, &*self.executor, observer, stop).await.map_err(|error| {
            let message = format!("the environment '{}' ({}) cannot be built: {error}", managed.name, managed.source);
            let failed = match error {
                BuildError::Stopped => return ServiceError::Transient(message),
                BuildError::Offline { .. } => ServiceError::Transient(message),
                _ => ServiceError::Permanent(message),
            };
            self.failed().insert(managed.digest.clone(), failed.clone());
            failed
        })
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<Digest, Arc<tokio::sync::Mutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<Digest, ServiceError>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports a build to the views. `began` gets the time when it begins.
    fn observer(&self, step: &str, managed: &Managed, began: Arc<OnceLock<Instant>>) -> BuildObserver {
        let (bus, step_path, name) = (self.bus.clone(), step.to_owned(), managed.name.clone());
        let line = move |line: &str| bus.progress(&step_path, &format!("environment {name}: {line}"));
        let (bus, step, name) = (self.bus.clone(), step.to_owned(), managed.name.clone());
        let (source, notes) = (managed.source.to_owned(), managed.definition.notes.clone());
        let started = move || {
            let _ = began.set(Instant::now());
            let (step, environment, source) = (step.clone(), name.clone(), source.clone());
            for note in &notes {
                let message = format!("environment '{environment}': {note}");
                bus.publish(EventKind::Note { message });
            }
            bus.publish(EventKind::EnvironmentBuilding { step, environment, source });
        };
        BuildObserver { started: Box::new(started), line: Arc::new(line) }
    }

    /// Records the content of an environment, once for each run.
    fn announce(&self, step: &str, managed: &Managed, ready: &Ready, began: Option<&Instant>) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.insert(managed.digest.clone()) {
            self.bus.publish(EventKind::EnvironmentReady {
                step: step.to_owned(),
                environment: managed.name.clone(),
                digest: managed.digest.short().to_owned(),
                python: ready.lock.python.clone(),
                packages: ready.lock.packages.clone(),
                millis: began.map(|began| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            });
        }
    }
}

impl EnvironmentProvider for LocalEnvironment {
    fn provide<'a>(&'a self, step: &'a str, command: &'a Command, stop: StopWatch) -> Providing<'a> {
        Box::pin(async move {
            let resolved = self.environments.resolve(command.environment.as_ref());
            let environment = match &*resolved.map_err(ServiceError::Permanent)? {
                Resolution::Host(_) => self.host(),
                Resolution::Managed(managed) => self.managed(step, managed, stop).await?,
                // What a step installs there ends with its container.
                Resolution::Container(container) => {
                    return self.containers.provide(step, command, container, stop).await;
                }
            };
            // It may have been built just now.
            let path = environment.search_path.as_deref().unwrap_or_default();
            if let Some(lacking) = tools::lacking(step, command, path, environment.name.as_deref()) {
                return Err(ServiceError::Permanent(format!("{}: {}", lacking.what, lacking.install)));
            }
            self.overlays.over(environment, command).await
        })
    }
}

/// A note that explains how environments are handled, for a plan with steps that use Python.
pub(crate) fn note(plan: &Plan, decisions: &[Decision], environments: &Environments) -> Option<String> {
    let of_host = |command: &&Command| match environments.resolve(command.environment.as_ref()).as_deref() {
        Ok(Resolution::Managed(_) | Resolution::Container(_)) => false,
        Ok(Resolution::Host(_)) | Err(_) => true,
    };
    let commands = plan.commands().map(|(_, command)| command);
    let commands = commands.filter(of_host);
    if !decisions.iter().any(Decision::may_run) || !commands.into_iter().any(uses_python) {
        return None;
    }
    Some(match on_path("python", None).or_else(|| on_path("python3", None)) {
        Some(python) => {
            format!("steps use the Python of this machine instead of their environments: {}", python.display())
        }
        None => "steps use this machine instead of their environments, but no Python was found".to_owned(),
    })
}

/// A note about settings of containers that steps have which run without one.
pub(crate) fn container_note(plan: &Plan, environments: &Environments) -> Option<String> {
    let in_container = |command: &&Command| {
        let resolved = environments.resolve(command.environment.as_ref());
        matches!(resolved.as_deref(), Ok(Resolution::Container(_)))
    };
    let commands = plan.commands().map(|(_, command)| command);
    let without: Vec<&Command> = commands.filter(|command| !in_container(command)).collect();
    let names = [
        ("resources.docker_args", without.iter().any(|command| !command.container.docker_args.is_empty())),
        ("resources.shm_size", without.iter().any(|command| command.container.shm_size.is_some())),
    ];
    let names: Vec<&str> = names.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect();
    let verb = if names.len() == 1 { "has" } else { "have" };
    (!names.is_empty()).then(|| format!("{} {verb} no effect here: only containers have them", names.join(", ")))
}

/// What steps find on this machine in addition to their files. Version managers search from the folder `near`. `passed`
/// are the variables that the project passes to its steps. No program is started when the project is not trusted.
pub(crate) fn host(near: &Path, passed: &[String], is_strange: bool, environments: Arc<Environments>) -> Host {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let search: Vec<PathBuf> = std::env::split_paths(&path).chain(own_folder()).collect();
    Host::look(&Look { search: &search, near, passed, is_strange, environments })
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
    command.program != Program::Shell || command.text.contains("python")
}

/// The runner's `PATH`, followed by other folders.
fn search_path(folders: impl Iterator<Item = PathBuf>) -> String {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&own).chain(folders);
    std::env::join_paths(folders).unwrap_or(own).to_string_lossy().into_owned()
}
