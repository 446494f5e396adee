//! Supervision of processes: the only place that starts any.
//!
//! A command gets a process group of its own, so that it and everything it starts can be ended together. When it is
//! over, on its own or by force, what is left of the group is killed: a step leaves nothing behind, as a container
//! would. A terminal's Ctrl-C reaches the runner only, which then ends its groups in order.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::capture::{self, Printed};
use super::guard::Watched;
use super::log::Log;
use super::mask::Masked;
use super::process::LocalProcess;
use super::strays;
use super::{Ended, Ending, Launch, LineSink, RankProcess, Shown, Stop, StopWatch};

/// How long what a command started has to print its last when the command itself has ended: in `echo a & echo b` the shell
/// does not wait for the first. Who prints nowhere any more is not waited for.
const CHILDREN: Duration = Duration::from_millis(250);

/// How long to go on reading after the group is gone: only a process that left the group can still hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs a program as the launch says, once for each of its processes, and supervises all to the end.
pub(super) async fn run(
    program: &Path,
    arguments: &[OsString],
    launch: Launch,
    lines: LineSink,
    mut stop: StopWatch,
    local: &LocalProcess,
) -> Ended {
    if *stop.borrow() != Stop::No {
        return Ending::Stopped.into();
    }
    // Before anything is started that it is to guard.
    local.guard();
    let memory = local.memory.at_start();
    let mut running = Running { groups: Vec::new(), waiting: JoinSet::new(), reading: Vec::new() };
    let mut ended = match running.start(program, arguments, &launch, &lines, local) {
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
        strays::end_group(*group).await;
    }
    let (name, value) = &launch.mark;
    strays::end_of(&format!("{name}={value}"));
    drop(running.groups);
    let not_found = last_words(running.reading, &mut ended).await;
    ended.ending = match ended.ending {
        Ending::Exited(127) => not_found.map_or(Ending::Exited(127), Ending::CommandNotFound),
        // A shell that waited for the killed process says it with a code.
        Ending::Signaled(9) | Ending::Exited(137) if local.memory.killed_since(memory) => Ending::OutOfMemory,
        ending => ending,
    };
    ended
}

/// What a process prints, being read.
struct Reading {
    label: Option<String>,
    task: JoinHandle<Printed>,
    /// What was noticed, once the pipe is closed.
    printed: Option<Printed>,
}

/// Reads the pipes until all are closed, or until then.
async fn read_until(reading: &mut [Reading], then: Instant) {
    for Reading { task, printed, .. } in reading.iter_mut().filter(|reading| reading.printed.is_none()) {
        if let Ok(read) = tokio::time::timeout_at(then, task).await {
            *printed = Some(read.unwrap_or_default());
        }
    }
}

/// Reads what is left in the pipes. Who left the group and hides its environment may hold them for ever.
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

/// A process group, and its place on the guard's list.
type Group<'a> = (Pid, Option<Watched<'a>>);

/// The processes of a launch.
struct Running<'a> {
    /// By the number of the process; none when nothing of it is left.
    groups: Vec<Option<Group<'a>>>,
    /// Gives the number of each process that ended, and how.
    waiting: JoinSet<(usize, Ending)>,
    reading: Vec<Reading>,
}

impl<'a> Running<'a> {
    fn start(
        &mut self,
        program: &Path,
        arguments: &[OsString],
        launch: &Launch,
        lines: &LineSink,
        local: &'a LocalProcess,
    ) -> Result<(), String> {
        for (number, process) in launch.processes.iter().enumerate() {
            let (mut child, reader, watched) = start(program, arguments, launch, process, local)?;
            let group = child.id().map_or(Pid::from_raw(i32::MAX), pid);
            if let Some(watched) = &watched {
                watched.leads(group);
            }
            self.groups.push(Some((group, watched)));
            self.waiting.spawn(async move { (number, ending(child.wait().await)) });
            let log = Log::new(process.log.clone(), launch.log_limit);
            let copied = {
                let mask = Masked::new(launch.secrets.clone());
                tokio::spawn(capture::copy(reader, log, mask, labelled(lines, process.label.as_deref())))
            };
            self.reading.push(Reading { label: process.label.clone(), task: copied, printed: None });
        }
        Ok(())
    }

    /// Waits until all have ended, or the first has failed, or the time is over, or somebody asks for an end. None of
    /// their leaders runs afterwards.
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
            () = asked(stop, Stop::Gently) => Ending::Stopped.into(),
        };
        if !self.waiting.is_empty() {
            self.end(launch.grace, stop).await;
        }
        ended
    }

    /// TERM to the groups, then KILL when the grace time is over or somebody asks for an end now. The grace is for all
    /// of a group: in a script of several commands the shell ends at once, and what it started is what needs the time.
    async fn end(&mut self, grace: Duration, stop: &mut StopWatch) {
        if *stop.borrow() != Stop::Now && !grace.is_zero() {
            self.signal(Signal::SIGTERM);
            // Who has stopped itself hears nothing else.
            self.signal(Signal::SIGCONT);
            let gone = async {
                while self.waiting.join_next().await.is_some() {}
                while self.groups.iter().flatten().any(|(group, _)| strays::is_alive(*group)) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::select! {
                () = gone => return,
                () = tokio::time::sleep(grace) => {}
                () = asked(stop, Stop::Now) => {}
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

/// How often to look whether a group has ended whose leader is gone: nobody is told of that.
const LOOK: Duration = Duration::from_millis(20);

/// How the first process ended that failed; with 0 when all have that others wait for.
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
                // Others may run for hours: by then the number could be somebody else's.
                groups[number].take_if(|(group, _)| left > 0 && !strays::is_alive(*group));
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
    local: &'a LocalProcess,
) -> Result<Started<'a>, String> {
    let pipe = || -> std::io::Result<_> {
        let (reader, writer) = std::io::pipe()?;
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok((reader, writer.try_clone()?, writer))
    };
    let (reader, stdout, stderr) = pipe().map_err(|e| format!("cannot make a pipe for its output: {e}"))?;
    let watched = local.watch(&stdout);
    let mut command = Command::new(program);
    for name in launch.hidden.iter() {
        command.env_remove(name);
    }
    let variables = launch.variables.iter().chain(&process.variables).chain(local.runner());
    let child = command
        .args(arguments)
        .current_dir(&launch.cwd)
        .envs(variables.map(|(k, v)| (k, v)))
        .env(&launch.mark.0, &launch.mark.1)
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
            format!("cannot start '{program}': its working directory is not there: {}", cwd.display())
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
        // The engine is gone without a word: nobody will ask any more.
        std::future::pending::<()>().await;
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
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

/// What a program says to `--version`; nothing when it does not run.
pub(super) async fn version(program: &Path) -> String {
    let said = Command::new(program).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output().await;
    said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default()
}

/// Whether a program can be started and succeeds, whatever it says.
pub(super) async fn succeeds(program: &Path, arguments: Vec<OsString>) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.status().await.is_ok_and(|status| status.success())
}

/// This very program. The file that runs may have been replaced since: Linux still knows it.
pub(super) const OWN: &str = "/proc/self/exe";

/// Starts this very program once more as a guard, away from the terminal's signals, the person's streams and the
/// marks of whoever runs us.
pub(super) fn guard(
    mark: &str,
    list: std::fs::File,
    pipe: std::io::PipeReader,
) -> std::io::Result<std::process::Child> {
    let own = if cfg!(target_os = "linux") { OWN.into() } else { std::env::current_exe()? };
    std::process::Command::new(own)
        .arg0("amlrun")
        .args([super::guard::VERB, mark])
        .env_clear()
        .current_dir("/")
        .stdin(list)
        .stdout(Stdio::null())
        .stderr(pipe)
        .process_group(0)
        .spawn()
}

/// Asks a process of ours, such as another run's runner, to end.
///
/// # Errors
/// A sentence, when there is no such process or it is not ours.
pub fn terminate(id: u32) -> Result<(), String> {
    // 0 is "my own group" to the system, and 1 is not ours.
    if id <= 1 {
        return Err("the run has not said yet which process makes it: try again".to_owned());
    }
    nix::sys::signal::kill(pid(id), Signal::SIGTERM).map_err(|error| format!("cannot signal process {id}: {error}"))
}

/// Tells a process of ours that there is something to look at. One that does not listen for it hears nothing.
///
/// # Errors
/// A sentence, when there is no such process or it is not ours.
pub fn call(id: u32) -> Result<(), String> {
    if id <= 1 {
        return Err("the run has not said yet which process makes it: try again".to_owned());
    }
    nix::sys::signal::kill(pid(id), CALL).map_err(|error| format!("cannot signal process {id}: {error}"))
}

/// The signal of [`call`]: by itself it does nothing to a process.
pub const CALL: Signal = Signal::SIGURG;

/// Whether a process has been stopped (SIGSTOP, or Ctrl-Z in a shell): it hears of nothing but being woken or killed.
/// Always no where there is no `/proc`.
#[must_use]
pub fn is_stopped(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// Wakes a process that has been stopped.
pub fn wake(id: u32) {
    if id > 1 {
        let _ = nix::sys::signal::kill(pid(id), Signal::SIGCONT);
    }
}

/// Ends every process of this machine that has `mark` (`NAME=value`) in its environment: what a runner left that was
/// killed itself. Gives how many there were; always 0 where there is no `/proc`.
#[must_use]
pub fn end_orphans(mark: &str) -> usize {
    strays::end_everywhere(mark, &[])
}

/// Starts this very program once more in the background, in a process group of its own, and gives the first line that
/// it prints; or what it had to say when it ends without printing one. It lives on when this process ends.
///
/// # Errors
/// A sentence, when it cannot be started.
pub fn detach(arguments: &[OsString]) -> Result<String, String> {
    use std::io::{BufRead as _, BufReader, Read as _};
    let broken = |error: std::io::Error| format!("cannot start a runner in the background: {error}");
    let own = std::env::current_exe().map_err(broken)?;
    let mut child = std::process::Command::new(own)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(broken)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(broken)?;
    }
    if line.is_empty()
        && let Some(mut stderr) = child.stderr.take()
    {
        stderr.read_to_string(&mut line).map_err(broken)?;
    }
    Ok(line)
}

/// Runs a program in the foreground, with the person's terminal, and gives its exit code; 128 + the signal's number when
/// one ended it. Ctrl-C is meant for the program: this process goes on.
///
/// # Errors
/// A sentence, when it cannot be started.
pub fn in_foreground(
    program: &str,
    arguments: &[String],
    cwd: &Path,
    variables: &[(String, String)],
    hidden: &[String],
) -> Result<i32, String> {
    let broken = |error: std::io::Error| format!("cannot start '{program}': {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(async {
        let _heard = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map_err(broken)?;
        let mut command = Command::new(program);
        for name in hidden {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(cwd).envs(variables.iter().map(|(name, value)| (name, value)));
        let status = command.status().await.map_err(broken)?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    })
}
