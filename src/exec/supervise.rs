//! Supervises processes. This is the only place that starts the processes of steps.
//!
//! A command gets its own process group, so that it and its children can be ended together. When it ends, by itself
//! or by force, what is left of the group is killed: a step leaves nothing behind, as a container would. A terminal's
//! Ctrl-C reaches the runner only, which then ends its groups in order.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::capture::{self, Printed};
use super::cleanups::Cleanup;
use super::log::Log;
use super::mask::Masked;
use super::memory::OutOfMemory;
use super::orphans;
use super::signal::pid;
use super::watchdog::{Watchdog, Watched};
use super::{Ended, Ending, Launch, LineSink, Observer, RankProcess, Shown, Stop, StopWatch};
use crate::handle::Handle;

/// How long the children of a command may still print after the command itself has ended: in `echo a & echo b` the
/// shell does not wait for the first. If they have closed their output, there is no wait.
const CHILDREN: Duration = Duration::from_millis(250);

/// How long to continue reading after the group is gone: only a process that left the group can still hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Starts and ends the processes of all launches of one runner.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    /// The variable that all processes of this runner have, and no others; `None` without a watchdog.
    runner: Option<(String, String)>,
    /// Started before the first command; `None` if that failed.
    watchdog: OnceLock<Option<Watchdog>>,
    memory: OutOfMemory,
}

impl Supervisor {
    /// A supervisor with a watchdog, which kills all processes when this process is killed.
    pub(super) fn watched() -> Self {
        // Two runners never have the same id at the same time.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let value = format!("{}-{}", std::process::id(), since.as_nanos());
        Self { runner: Some(("AMLRUN_RUNNER".to_owned(), value)), ..Self::default() }
    }

    /// Whether processes end with this one, even when it is killed.
    pub(super) fn is_watched(&self) -> bool {
        self.runner.is_some()
    }

    /// Kills every child of this process except those, and the watchdog last.
    pub(super) fn end_orphans(&self, spared: &[i32]) {
        let watchdog = self.watchdog.get().and_then(Option::as_ref);
        let spared: Vec<i32> = spared.iter().copied().chain(watchdog.map(Watchdog::stop_replacing)).collect();
        orphans::end_all(&spared);
        if let Some(watchdog) = watchdog {
            watchdog.stop();
        }
    }

    /// Adds a process that prints into that pipe to the watchdog's list, until the returned value is dropped.
    fn watch(&self, pipe: &impl std::os::fd::AsFd) -> Option<Watched<'_>> {
        Some(self.watchdog()?.watch(nix::sys::stat::fstat(pipe).map_or(0, |about| about.st_ino)))
    }

    /// Has the watchdog run a command if this process is killed, until the returned value is dropped. `None` without a
    /// watchdog.
    pub(super) fn clean_up(&self, command: &[String]) -> Option<Cleanup> {
        Some(self.watchdog()?.clean_up(command))
    }

    /// The watchdog, started on the first call. Commands run even without one.
    fn watchdog(&self) -> Option<&Watchdog> {
        let (name, value) = self.runner.as_ref()?;
        self.watchdog.get_or_init(|| Watchdog::start(&format!("{name}={value}")).ok()).as_ref()
    }

    /// Runs a program once for each process of the launch, and supervises all of them to the end.
    pub(super) async fn run(
        &self,
        program: &Path,
        arguments: &[OsString],
        launch: Launch,
        observer: Observer,
        mut stop: StopWatch,
    ) -> Ended {
        if *stop.borrow() != Stop::None {
            return Ending::Stopped.into();
        }
        // The watchdog must run before anything that it is to watch.
        self.watchdog();
        let memory = self.memory.at_start();
        let mut running = Running { groups: Vec::new(), waiting: JoinSet::new(), reading: Vec::new() };
        let mut ended = match running.start(program, arguments, &launch, &observer, self) {
            Ok(()) => running.wait(&launch, &mut stop).await,
            Err(message) => {
                running.end(Duration::ZERO, &mut stop).await;
                Ending::NotStarted(message).into()
            }
        };
        if matches!(ended.ending, Ending::Exited(_)) {
            read_until(&mut running.reading, Instant::now() + CHILDREN).await;
        }
        for (group, _) in running.groups.iter().flatten() {
            orphans::end_group(*group).await;
        }
        let (name, value) = &launch.marker;
        orphans::end_of(&format!("{name}={value}"));
        drop(running.groups);
        let not_found = last_words(running.reading, &mut ended).await;
        ended.ending = match ended.ending {
            Ending::Exited(127) => not_found.map_or(Ending::Exited(127), Ending::CommandNotFound),
            // A shell that waited for the killed process reports it with this exit code.
            Ending::Signaled(9) | Ending::Exited(137) if self.memory.killed_since(memory) => Ending::OutOfMemory,
            ending => ending,
        };
        ended
    }
}

/// A process whose output is being read.
struct Reading {
    label: Option<String>,
    task: JoinHandle<Printed>,
    /// What was found, once the pipe is closed.
    printed: Option<Printed>,
}

/// Reads the pipes until all are closed, or until that time.
async fn read_until(reading: &mut [Reading], then: Instant) {
    for Reading { task, printed, .. } in reading.iter_mut().filter(|reading| reading.printed.is_none()) {
        if let Ok(read) = tokio::time::timeout_at(then, task).await {
            *printed = Some(read.unwrap_or_default());
        }
    }
}

/// Reads what is left in the pipes. A process that left the group and hides its environment may hold them forever.
async fn last_words(mut reading: Vec<Reading>, ended: &mut Ended) -> Option<String> {
    read_until(&mut reading, Instant::now() + LAST_WORDS).await;
    let mut not_found = None;
    for Reading { label, task, printed } in reading {
        let Some(printed) = printed else {
            task.abort();
            continue;
        };
        let of = |warning| label.as_ref().map_or_else(|| String::clone(&warning), |l| format!("{l}: {warning}"));
        ended.warnings.extend(printed.warnings.into_iter().map(of));
        if label == ended.process {
            not_found = printed.not_found;
        }
    }
    not_found
}

/// A process group, and its entry in the watchdog's list.
type Group<'a> = (Pid, Option<Watched<'a>>);

/// The processes of a launch.
struct Running<'a> {
    /// By the index of the process; `None` if nothing of it is left.
    groups: Vec<Option<Group<'a>>>,
    /// Yields the index of each process that ended, and how.
    waiting: JoinSet<(usize, Ending)>,
    reading: Vec<Reading>,
}

impl<'a> Running<'a> {
    fn start(
        &mut self,
        program: &Path,
        arguments: &[OsString],
        launch: &Launch,
        observer: &Observer,
        supervisor: &'a Supervisor,
    ) -> Result<(), String> {
        let mut readers = Vec::new();
        let mut failed = None;
        for (number, process) in launch.processes.iter().enumerate() {
            let (mut child, reader, watched) = match start(program, arguments, launch, process, supervisor) {
                Ok(started) => started,
                Err(why) => {
                    failed = Some(why);
                    break;
                }
            };
            let group = child.id().map_or(Pid::from_raw(i32::MAX), pid);
            if let Some(watched) = &watched {
                watched.leads(group);
            }
            self.groups.push(Some((group, watched)));
            self.waiting.spawn(async move { (number, ending(child.wait().await)) });
            readers.push((process, reader));
        }
        if failed.is_none() {
            let groups = self.groups.iter().flatten().map(|(group, _)| group.as_raw());
            (observer.started)(Handle::ProcessGroups(groups.collect()));
        }
        // Also if a later process could not be started: what the others print is in their logs.
        for (process, reader) in readers {
            let log = Log::new(process.log.clone(), launch.log_limit);
            let copied = {
                let mask = Masked::new(launch.secrets.clone());
                tokio::spawn(capture::copy(reader, log, mask, labelled(&observer.lines, process.label.as_deref())))
            };
            self.reading.push(Reading { label: process.label.clone(), task: copied, printed: None });
        }
        failed.map_or(Ok(()), Err)
    }

    /// Waits until all have ended, the first has failed, the timeout is over, or a stop is requested. Afterwards none
    /// of the group leaders runs.
    async fn wait(&mut self, launch: &Launch, stop: &mut StopWatch) -> Ended {
        let timeout = async {
            match launch.timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = first_failure(&mut self.waiting, &mut self.groups, &launch.processes) => ended,
            () = timeout => Ending::TimedOut(launch.timeout.unwrap_or_default()).into(),
            () = asked(stop, Stop::Graceful) => Ending::Stopped.into(),
        };
        if !self.waiting.is_empty() {
            self.end(launch.grace, stop).await;
        }
        ended
    }

    /// Sends TERM to the groups, then KILL after the grace period or a forced stop. The grace period is for the whole
    /// group: in a script of several commands the shell ends at once, and its child is the one that needs the time.
    async fn end(&mut self, grace: Duration, stop: &mut StopWatch) {
        if *stop.borrow() != Stop::Forced && !grace.is_zero() {
            self.signal(Signal::SIGTERM);
            // A stopped process reacts to no other signal.
            self.signal(Signal::SIGCONT);
            let gone = async {
                while self.waiting.join_next().await.is_some() {}
                while self.groups.iter().flatten().any(|(group, _)| orphans::is_alive(*group)) {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            };
            tokio::select! {
                () = gone => return,
                () = tokio::time::sleep(grace) => {}
                () = asked(stop, Stop::Forced) => {}
            }
        }
        self.signal(Signal::SIGKILL);
        while self.waiting.join_next().await.is_some() {}
    }

    fn signal(&self, signal: Signal) {
        for (group, _) in self.groups.iter().flatten() {
            let _ = killpg(*group, signal);
        }
    }
}

/// How often to check whether a group without its leader has ended. There is no notification for that.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How the first process failed; with 0 if all processes that matter have ended.
async fn first_failure(
    waiting: &mut JoinSet<(usize, Ending)>,
    groups: &mut [Option<Group<'_>>],
    processes: &[RankProcess],
) -> Ended {
    let mut left = processes.iter().filter(|process| !process.serves).count();
    while left > 0 {
        match waiting.join_next().await {
            Some(Ok((number, Ending::Exited(0)))) => {
                left -= usize::from(!processes[number].serves);
                // The others may run for hours, and by then the id could belong to another process.
                groups[number].take_if(|(group, _)| left > 0 && !orphans::is_alive(*group));
            }
            Some(Ok((number, ending))) => {
                return Ended { ending, process: processes[number].label.clone(), warnings: Vec::new() };
            }
            Some(Err(broken)) => return Ending::NotStarted(format!("cannot wait for it: {broken}")).into(),
            None => break,
        }
    }
    Ending::Exited(0).into()
}

fn labelled(lines: &LineSink, label: Option<&str>) -> LineSink {
    let Some(label) = label else { return lines.clone() };
    let (lines, label) = (lines.clone(), label.to_owned());
    Arc::new(move |shown| {
        lines(match shown {
            Shown::Line(line) => Shown::Line(format!("[{label}] {line}")),
            Shown::Progress(state) => Shown::Progress(format!("[{label}] {state}")),
        });
    })
}

type Started<'a> = (Child, tokio::net::unix::pipe::Receiver, Option<Watched<'a>>);

fn start<'a>(
    program: &Path,
    arguments: &[OsString],
    launch: &Launch,
    process: &RankProcess,
    supervisor: &'a Supervisor,
) -> Result<Started<'a>, String> {
    let pipe = || -> std::io::Result<_> {
        let (reader, writer) = std::io::pipe()?;
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok((reader, writer.try_clone()?, writer))
    };
    let (reader, stdout, stderr) = pipe().map_err(|e| format!("cannot make a pipe for its output: {e}"))?;
    let watched = supervisor.watch(&stdout);
    let mut command = Command::new(program);
    for name in launch.hidden.iter() {
        command.env_remove(name);
    }
    let variables = launch.variables.iter().chain(&process.variables).chain(&supervisor.runner);
    let child = command
        .args(arguments)
        .current_dir(&launch.cwd)
        .envs(variables.map(|(k, v)| (k, v)))
        .env(&launch.marker.0, &launch.marker.1)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| not_started(program, &launch.cwd, &error))?;
    Ok((child, reader, watched))
}

fn not_started(program: &Path, cwd: &Path, error: &std::io::Error) -> String {
    let program = program.display();
    match error.kind() {
        std::io::ErrorKind::NotFound if !cwd.is_dir() => {
            format!("cannot start '{program}': its working directory does not exist: {}", cwd.display())
        }
        std::io::ErrorKind::NotFound => {
            format!("cannot start '{program}': it is not installed; commands run in bash, as on Azure ML")
        }
        std::io::ErrorKind::ArgumentListTooLong => {
            format!("cannot start '{program}': its environment variables are too long for the system together")
        }
        _ => format!("cannot start '{program}': {error}"),
    }
}

async fn asked(stop: &mut StopWatch, least: Stop) {
    if stop.wait_for(|s| *s >= least).await.is_err() {
        // The engine has dropped the channel, so no request can come any more.
        std::future::pending::<()>().await;
    }
}

fn ending(status: std::io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, Some(signal)) => Ending::Signaled(signal),
            (None, None) => Ending::NotStarted("its exit status is unknown".to_owned()),
        },
        Err(error) => Ending::NotStarted(format!("cannot wait for it: {error}")),
    }
}
