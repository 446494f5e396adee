//! Builds an environment, unless it was built before. [`tool`] has the command for it.
//!
//! The build runs under the same supervision as a step: it ends with the runner, on Ctrl-C as well.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::definition::Definition;
use super::error::BuildError;
use super::store::{Lock, Ready, Store};
use super::tool::{self, Tools};
use super::{content, interpreter};
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::environment::resolve::Managed;
use crate::exec::{Ending, Executor, LOG_LIMIT, Launch, Launcher, Observer, RankProcess, Shown, Stop, StopWatch};
use crate::fs::atomic::{self, Durability};
use crate::secret::{self, Secret};

/// Receives what a build does.
pub struct BuildObserver {
    /// Called when the build begins.
    pub started: Box<dyn Fn() + Send + Sync>,
    /// Receives what the build prints, and what it waits for.
    pub line: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Makes an environment ready: returns it at once if it was built before. Another process that builds the same is waited
/// for.
///
/// # Errors
/// [`BuildError`].
pub async fn ready(
    managed: &Managed,
    store: &Store,
    executor: &dyn Executor,
    observer: BuildObserver,
    stop: StopWatch,
) -> Result<Ready, BuildError> {
    if let Some(ready) = store.ready(&managed.digest) {
        return Ok(ready);
    }
    let _reserved = reserve(managed, store, &observer, stop.clone()).await?;
    if let Some(ready) = store.ready(&managed.digest) {
        return Ok(ready);
    }
    (observer.started)();
    let definition = managed.definition.clone();
    let python = tokio::task::spawn_blocking(move || interpreter::find(&definition)).await.ok().flatten();
    let tools = Tools::of_machine(python.map(|found| found.program));
    let folder = store.begin(&managed.digest).map_err(|error| match error.kind() {
        std::io::ErrorKind::ResourceBusy => BuildError::InUse,
        _ => io_error(error),
    })?;
    let requirements = folder.join("requirements.txt");
    // An address in it may contain a password.
    atomic::write_private(&requirements, lines(&managed.definition), Durability::Unsynced).map_err(io_error)?;
    let command = tool::command(&managed.definition, &tools, &folder)?;
    let log = folder.join("build.log");
    let last = Arc::new(Mutex::new(Vec::new()));
    let lines = {
        let (last, observed) = (last.clone(), observer.line.clone());
        move |shown| {
            let (Shown::Line(line) | Shown::Progress(line)) = shown;
            observed(line.trim());
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            last.push(line);
            if last.len() > KEPT_LINES {
                last.remove(0);
            }
        }
    };
    let mut launch = launch(command, &folder, &log, managed.digest.short());
    launch.secrets = secrets(&managed.definition);
    let observer = Observer { started: Arc::new(|_| {}), lines: Arc::new(lines) };
    let ended = executor.run(launch, observer, stop).await;
    let env = folder.join("env");
    let printed = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match ended.ending {
        Ending::Exited(0) => {}
        Ending::Stopped => return Err(BuildError::Stopped),
        Ending::NotStarted(why) => return Err(BuildError::Io(why)),
        _ => {
            // The disk may be full. The log stays.
            let _ = fs::remove_dir_all(&env);
            return Err(failed(&printed, &log));
        }
    }
    let installed = tokio::task::spawn_blocking(move || content::read(&env)).await.ok().flatten();
    let (python, packages) = installed.ok_or_else(|| failed(&printed, &log))?;
    let lock = Lock {
        name: managed.name.clone(),
        source: managed.source.to_owned(),
        python,
        packages,
        digest: managed.digest.clone(),
        mark: Digest::of(b""),
        built: Timestamp::now(),
    };
    store.finish(&managed.digest, lock).map_err(io_error)
}

/// Takes the right to build the environment. Another process may have it for minutes; the wait ends with the run.
async fn reserve(
    managed: &Managed,
    store: &Store,
    observer: &BuildObserver,
    mut stop: StopWatch,
) -> Result<File, BuildError> {
    let mut is_told = false;
    loop {
        if let Some(reserved) = store.try_reserve(&managed.digest).map_err(io_error)? {
            return Ok(reserved);
        }
        if !std::mem::replace(&mut is_told, true) {
            (observer.line)("waits until another run has built it");
        }
        // A thread that waits for the lock itself could not be stopped.
        tokio::select! {
            _ = stop.wait_for(|stop| *stop != Stop::None) => return Err(BuildError::Stopped),
            () = tokio::time::sleep(WAIT) => {}
        }
    }
}

/// How often the lock of another process is tried.
const WAIT: Duration = Duration::from_millis(200);

/// How many of the last lines of a build are kept for its error message.
const KEPT_LINES: usize = 60;

/// The longest that a build may take.
const TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn io_error(error: std::io::Error) -> BuildError {
    BuildError::Io(error.to_string())
}

/// The lines of the requirements file: options first, because they apply to all that follows.
fn lines(definition: &Definition) -> String {
    definition.options.iter().chain(&definition.requirements).map(|line| format!("{line}\n")).collect()
}

/// The passwords and signatures in addresses, which are masked in what the build prints.
fn secrets(definition: &Definition) -> Arc<[Secret]> {
    let text = lines(definition);
    let users = text.split("://").skip(1).filter_map(|rest| {
        let authority = rest.split(['/', ' ', '\n']).next()?;
        authority.rsplit_once('@')?.0.split_once(':').map(|(_, password)| password)
    });
    let all = secret::signatures(&text).into_iter().chain(users);
    all.filter(|secret| !secret.is_empty()).map(Secret::new).collect()
}

fn launch(command: String, folder: &Path, log: &Path, marker: &str) -> Launch {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Launch {
        command,
        cwd: folder.to_owned(),
        variables: vec![
            set("PYTHONUNBUFFERED", "1"),
            set("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            set("UV_NO_PROGRESS", "1"),
            set("UV_LINK_MODE", "copy"),
        ],
        // They would lead to another environment.
        hidden: ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX"].map(str::to_owned).into(),
        mounts: Vec::new(),
        marker: set("AMLRUN_ENVIRONMENT_BUILD", &format!("{marker}-{}", std::process::id())),
        processes: vec![RankProcess::only(log.to_owned())],
        launcher: Launcher::Bash,
        log_limit: LOG_LIMIT,
        secrets: Arc::new([]),
        timeout: Some(TIMEOUT),
        grace: Duration::from_secs(5),
    }
}

/// What pip and uv print when the network does not answer.
const OFFLINE: [&str; 8] = [
    "Temporary failure in name resolution",
    "Name or service not known",
    "dns error",
    "Network is unreachable",
    "Connection refused",
    "NewConnectionError",
    "ConnectTimeoutError",
    "error sending request",
];

/// What tools and the log print when the disk is full.
const FULL: [&str; 2] = ["No space left on device", "the disk is full"];

/// The error of a build that failed, from the last lines that it printed.
fn failed(printed: &[String], log: &Path) -> BuildError {
    // `ensurepip` hides the reason, but then the log could not be written either.
    if printed.iter().any(|line| FULL.iter().any(|sign| line.contains(sign))) {
        return BuildError::DiskFull { folder: log.parent().unwrap_or(log).display().to_string() };
    }
    let log = log.display().to_string();
    if let Some(line) = printed.iter().find(|line| OFFLINE.iter().any(|sign| line.contains(sign))) {
        return BuildError::Offline { why: line.trim().to_owned(), log };
    }
    let marked: Vec<&str> = printed.iter().filter_map(|line| reason(line)).collect();
    let last = || printed.iter().rev().take(3).rev().map(|line| line.trim()).collect();
    let why: Vec<&str> = if marked.is_empty() { last() } else { marked };
    BuildError::Failed { why: why.join("; "), log }
}

/// The reason in a line of pip or uv that has one. pip lists all versions that exist, which is long.
fn reason(line: &str) -> Option<&str> {
    const SIGNS: [&str; 5] = ["ERROR: ", "error: ", "cause: ", "× ", "╰─▶ "];
    let line = line.trim();
    let reason = SIGNS.iter().find_map(|sign| line.strip_prefix(sign))?;
    Some(reason.split(" (from versions:").next().unwrap_or(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_the_resolver_is_shown() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let why = |text: &str| failed(&lines(text), Path::new("/log")).to_string();
        let uv =
            "Using Python 3.11\n  × No solution found when resolving dependencies:\n  ╰─▶ Because nope was not found";
        assert_eq!(why(uv), "No solution found when resolving dependencies:; Because nope was not found (log: /log)");
        let pip = "Collecting nope\nERROR: Could not find a version (from versions: 1, 2)\nERROR: No matching distribution found for nope";
        assert_eq!(why(pip), "Could not find a version; No matching distribution found for nope (log: /log)");
        assert!(why("x\nerror: dns error: failed to lookup").contains("cannot be reached"));
    }
}
