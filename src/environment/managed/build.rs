//! Builds an environment: with uv where it is on `PATH`, otherwise with venv and pip.
//!
//! The build runs under the same supervision as a step: it ends with the runner, on Ctrl-C as well.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::definition::Definition;
use super::interpreter;
use super::store::{Lock, Ready, Store};
use crate::clock::Timestamp;
use crate::environment::resolve::Managed;
use crate::exec::ask::{self, Reply};
use crate::exec::{Ending, Executor, LOG_LIMIT, Launch, Launcher, Observer, RankProcess, Shown, StopWatch};
use crate::fs::atomic::{self, Durability};
use crate::fs::program::on_path;

/// Why an environment could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No Python of the wanted version was found, and nothing that could install one.
    #[error(
        "no Python {wanted} was found on PATH or under pyenv; install it, or install uv (pip install uv), which can \
         download it"
    )]
    NoPython {
        /// The versions that fit.
        wanted: String,
    },
    /// A package could not be fetched because the network did not answer.
    #[error("the package index cannot be reached: {why} (log: {log})")]
    Offline {
        /// The line that says so.
        why: String,
        /// The log of the build.
        log: String,
    },
    /// The resolver or an installer refused.
    #[error("{why} (log: {log})")]
    Failed {
        /// What it printed.
        why: String,
        /// The log of the build.
        log: String,
    },
    /// The run was asked to stop.
    #[error("the build was stopped")]
    Stopped,
    /// The folder of the environment cannot be used.
    #[error("{0}")]
    Io(String),
}

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
    let _reserved = match store.try_reserve(&managed.digest).map_err(io_error)? {
        Some(reserved) => reserved,
        None => {
            (observer.line)("waits until another step or run has built it");
            let (store, digest) = (store.clone(), managed.digest.clone());
            let reserved = tokio::task::spawn_blocking(move || store.reserve(&digest)).await;
            reserved.map_err(|error| BuildError::Io(error.to_string()))?.map_err(io_error)?
        }
    };
    if let Some(ready) = store.ready(&managed.digest) {
        return Ok(ready);
    }
    (observer.started)();
    let definition = managed.definition.clone();
    let python = tokio::task::spawn_blocking(move || interpreter::find(&definition)).await.ok().flatten();
    let folder = store.begin(&managed.digest).map_err(io_error)?;
    let requirements = folder.join("requirements.txt");
    // An address in it may contain a password.
    atomic::write_private(&requirements, lines(&managed.definition), Durability::Unsynced).map_err(io_error)?;
    let command = command(&managed.definition, python.as_ref().map(|found| found.program.as_path()), &folder)?;
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
    let launch = launch(command, &folder, &log, managed.digest.short());
    let observer = Observer { started: Arc::new(|_| {}), lines: Arc::new(lines) };
    let ended = executor.run(launch, observer, stop).await;
    let printed = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match ended.ending {
        Ending::Exited(0) => {}
        Ending::Stopped => return Err(BuildError::Stopped),
        Ending::NotStarted(why) => return Err(BuildError::Io(why)),
        _ => return Err(failed(&printed, &log)),
    }
    let python = folder.join("env/bin/python");
    let installed = tokio::task::spawn_blocking(move || installed(&python)).await.ok().flatten();
    let (python, packages) = installed.ok_or_else(|| failed(&printed, &log))?;
    let lock = Lock {
        name: managed.name.clone(),
        source: managed.source.to_owned(),
        python,
        packages,
        digest: managed.digest.clone(),
        built: Timestamp::now(),
    };
    store.finish(&managed.digest, &lock).map_err(io_error)
}

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

/// The command that builds the environment in `folder`. `python` is the interpreter to use, if one was found.
fn command(definition: &Definition, python: Option<&Path>, folder: &Path) -> Result<String, BuildError> {
    let wanted = definition.python.as_ref().map(ToString::to_string);
    let (env, requirements) = (quoted(&folder.join("env")), quoted(&folder.join("requirements.txt")));
    let uv = on_path("uv", None).map(|uv| quoted(&uv));
    let mut commands = Vec::new();
    match (&uv, python) {
        (Some(uv), Some(python)) => commands.push(format!("{uv} venv --seed --python {} {env}", quoted(python))),
        // uv downloads a Python where the network allows it.
        (Some(uv), None) => {
            let wanted = wanted.as_ref().map(|wanted| format!("--python '{wanted}' ")).unwrap_or_default();
            commands.push(format!("{uv} venv --seed {wanted}{env}"));
        }
        (None, Some(python)) => commands.push(format!("{} -m venv {env}", quoted(python))),
        (None, None) => return Err(BuildError::NoPython { wanted: wanted.unwrap_or_else(|| "3".to_owned()) }),
    }
    if !definition.requirements.is_empty() {
        let program = quoted(&folder.join("env/bin/python"));
        commands.push(match &uv {
            Some(uv) => format!("{uv} pip install --python {program} --requirements {requirements}"),
            None => format!("{program} -m pip install --no-input --requirement {requirements}"),
        });
    }
    Ok(commands.join(" && "))
}

/// A path as one word for bash.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
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

/// The error of a build that failed, from the last lines that it printed.
fn failed(printed: &[String], log: &Path) -> BuildError {
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

/// The version and the distributions of an environment's Python.
fn installed(python: &Path) -> Option<(String, BTreeMap<String, String>)> {
    const SCRIPT: &str = "import json, platform\nfrom importlib import metadata\n\
        print(json.dumps([platform.python_version(), \
        {d.metadata['Name']: d.version for d in metadata.distributions() if d.metadata['Name']}]))";
    // `importlib.metadata` is from Python 3.8; before that, pip answers.
    const OLD: &str = "import json, platform, pkg_resources\n\
        print(json.dumps([platform.python_version(), {d.project_name: d.version for d in pkg_resources.working_set}]))";
    [SCRIPT, OLD].into_iter().find_map(|script| {
        let reply = ask::ask(python, &["-I", "-c", script], Path::new("/"), Duration::from_secs(60));
        let Reply::Printed(text) = reply else { return None };
        serde_json::from_slice(&text).ok()
    })
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

    #[test]
    fn paths_are_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
