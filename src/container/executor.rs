//! The executor for containers: one container for each process of a launch.
//!
//! The engine's client is a process of this machine and is supervised like one: a signal to it reaches the container. What
//! the client leaves is removed in the end, however it ended; when the runner was killed, the watchdog removes it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::command::{self, Options};
use super::ending::{self, State};
use super::engine::Engine;
use super::image::Image;
use super::quoted;
use super::script::{Script, is_name};
use crate::exec::process::LocalProcess;
use crate::exec::{Ended, Ending, Executor, Launch, Launcher, Observer, RankProcess, Running, Shown, StopWatch};
use crate::secret::write_file;
use crate::spec::component::ContainerSettings;

/// Runs commands in containers of one image.
#[derive(Debug)]
pub struct ContainerExecutor {
    processes: Arc<LocalProcess>,
    engine: Engine,
    image: Image,
    settings: ContainerSettings,
}

/// The variable of a client that tells it which process of a step it starts.
const PROCESS: &str = "AMLRUN_PROCESS";

/// The kernel accepts no single argument longer than 128 KiB.
const LONGEST_ARGUMENT: usize = 120 * 1024;

/// How many of the last lines are kept to explain a failure.
const KEPT_LINES: usize = 10;

impl ContainerExecutor {
    /// An executor whose clients are run by another.
    #[must_use]
    pub fn new(processes: Arc<LocalProcess>, engine: Engine, image: Image, settings: ContainerSettings) -> Self {
        Self { processes, engine, image, settings }
    }

    async fn start(&self, launch: Launch, observer: Observer, stop: StopWatch) -> Ended {
        let name = unique_name();
        let names: Vec<String> = (0..launch.processes.len()).map(|number| format!("{name}-{number}")).collect();
        let scripts = match write_scripts(&launch) {
            Ok(scripts) => scripts,
            Err(message) => return Ending::NotStarted(message).into(),
        };
        let removals: Vec<Vec<String>> = names.iter().map(|name| self.engine.removal(name)).collect();
        let cleanups: Vec<_> = removals.iter().map(|removal| self.processes.clean_up(removal)).collect();
        let (observer, printed) = listening(observer);
        let labels: Vec<Option<String>> = launch.processes.iter().map(|process| process.label.clone()).collect();
        let client = self.client(launch, &name);
        let mut ended = self.processes.run(client, observer, stop).await;
        let failed = labels.iter().position(|label| *label == ended.process).unwrap_or(0);
        let state = if ending::needs_state(&ended.ending) { self.state(&names[failed]).await } else { None };
        let printed = printed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ended.ending = ending::explain(ended.ending, state.as_ref(), &printed, &self.image, &self.engine);
        for name in names {
            self.remove(name).await;
        }
        drop(cleanups);
        for script in scripts {
            let _ = std::fs::remove_file(script);
        }
        ended
    }

    /// The launch of the client. It gets the runner's own variables: those of the step could change what the client does.
    fn client(&self, launch: Launch, name: &str) -> Launch {
        let user = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let gpus = command::has_gpus(&self.engine);
        let options = Options { image: self.image.id.clone(), settings: self.settings.clone(), gpus, user };
        let words = command::arguments(&launch, &options, &self.engine);
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let (program, image) = (quoted(&self.engine.program.display().to_string()), quoted(&self.image.id));
        let script = quoted(&script_path(&launch, "").display().to_string());
        let words = words.join(" ");
        let command = format!("exec {program} run --name {name}-\"${PROCESS}\" {words} {image} {script}\"${PROCESS}\"");
        let processes = launch.processes.into_iter().enumerate().map(|(number, process)| RankProcess {
            variables: vec![(PROCESS.to_owned(), number.to_string())],
            ..process
        });
        Launch {
            command,
            variables: launch.variables.into_iter().filter(|(name, _)| !is_name(name)).collect(),
            hidden: Arc::new([]),
            mounts: Vec::new(),
            processes: processes.collect(),
            launcher: Launcher::Bash,
            ..launch
        }
    }

    async fn state(&self, name: &str) -> Option<State> {
        let (engine, name) = (self.engine.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || State::of(&name, &engine)).await.ok().flatten()
    }

    async fn remove(&self, name: String) {
        let engine = self.engine.clone();
        let remove = move || {
            let removal = engine.removal(&name);
            let words: Vec<&str> = removal.iter().skip(1).map(String::as_str).collect();
            drop(engine.ask(&words));
        };
        // The container is gone then, or the engine is.
        let _ = tokio::task::spawn_blocking(remove).await;
    }
}

impl Executor for ContainerExecutor {
    fn run(&self, launch: Launch, observer: Observer, stop: StopWatch) -> Running<'_> {
        Box::pin(self.start(launch, observer, stop))
    }
}

/// The same observer, and the last lines that it gets.
fn listening(observer: Observer) -> (Observer, Arc<Mutex<Vec<String>>>) {
    let printed = Arc::new(Mutex::new(Vec::new()));
    let (kept, lines) = (printed.clone(), observer.lines);
    let listen = move |shown: Shown| {
        if let Shown::Line(line) = &shown {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(line.clone());
            if kept.len() > KEPT_LINES {
                kept.remove(0);
            }
        }
        lines(shown);
    };
    (Observer { started: observer.started, lines: Arc::new(listen) }, printed)
}

/// A name that no other container has: two runners never have the same id at the same time.
fn unique_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("amlrun-{}-{:x}-{number}", std::process::id(), since.as_nanos())
}

/// The path of the script of a process: beside the working directory, which the container has.
fn script_path(launch: &Launch, process: &str) -> PathBuf {
    launch.cwd.with_file_name(format!("container.sh.{process}"))
}

/// Writes the script of each process. Only the user can read it.
fn write_scripts(launch: &Launch) -> Result<Vec<PathBuf>, String> {
    let mut written = Vec::new();
    let mut write = |path: PathBuf, text: &str| {
        write_file(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        written.push(path);
        Ok::<(), String>(())
    };
    // A secret in it would be seen in the list of processes.
    let is_secret = launch.secrets.iter().any(|secret| launch.command.contains(secret.reveal()));
    let file = (launch.command.len() > LONGEST_ARGUMENT || is_secret).then(|| script_path(launch, "command"));
    if let Some(file) = &file {
        write(file.clone(), &launch.command)?;
    }
    let file = file.map(|file| file.display().to_string());
    for (number, process) in launch.processes.iter().enumerate() {
        let mut variables = home();
        variables.extend(launch.variables.iter().chain(&process.variables).cloned());
        variables.push(launch.marker.clone());
        let (command, file, launcher) = (launch.command.as_str(), file.as_deref(), launch.launcher);
        let text = Script { variables: &variables, command, file, launcher }.text();
        write(script_path(launch, &number.to_string()), &text)?;
    }
    Ok(written)
}

/// A home folder that a user without an entry in the image can write to. Root has one.
fn home() -> Vec<(String, String)> {
    if nix::unistd::getuid().is_root() { Vec::new() } else { vec![("HOME".to_owned(), "/tmp".to_owned())] }
}
