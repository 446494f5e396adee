//! Supervision of a process: the only place that starts one.
//!
//! A command gets a process group of its own, so that it and everything it starts can be ended together. When it is
//! over, on its own or by force, what is left of the group is killed: a step leaves nothing behind, as a container
//! would. A terminal's Ctrl-C reaches the runner only, which then ends its groups in order.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::output;
use super::strays;
use super::{Ending, Launch, LineSink, Stop, StopWatch};

/// How long to go on reading after the group is gone: only a process that left the group can still hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs `arguments` as the launch says, and supervises it to the end.
pub(super) async fn run(arguments: &[String], launch: Launch, lines: LineSink, mut stop: StopWatch) -> Ending {
    if *stop.borrow() != Stop::No {
        return Ending::Stopped;
    }
    let (mut child, reader) = match start(arguments, &launch) {
        Ok(started) => started,
        Err(message) => return Ending::NotStarted(message),
    };
    let log = match OpenOptions::new().create(true).append(true).open(&launch.log) {
        Ok(log) => log,
        Err(error) => {
            end_group(&child, Signal::SIGKILL);
            let _ = child.wait().await;
            return Ending::NotStarted(format!("cannot write {}: {error}", launch.log.display()));
        }
    };
    let reading = tokio::spawn(output::copy(reader, log, lines));
    let group = child.id();
    let ending = wait(&mut child, &launch, &mut stop).await;
    // The leader is reaped, but its group lives on as long as one member does.
    if let Some(group) = group {
        let _ = killpg(pid(group), Signal::SIGKILL);
    }
    let (name, value) = &launch.mark;
    strays::end_of(&format!("{name}={value}"));
    let _ = tokio::time::timeout(LAST_WORDS, reading).await;
    ending
}

fn start(arguments: &[String], launch: &Launch) -> Result<(Child, tokio::net::unix::pipe::Receiver), String> {
    let pipe = || -> std::io::Result<_> {
        let (reader, writer) = std::io::pipe()?;
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok((reader, writer.try_clone()?, writer))
    };
    let (reader, stdout, stderr) = pipe().map_err(|e| format!("cannot make a pipe for its output: {e}"))?;
    let (program, rest) = arguments.split_first().ok_or("there is nothing to run")?;
    let mut command = Command::new(program);
    for name in &launch.hidden {
        command.env_remove(name);
    }
    let child = command
        .args(rest)
        .current_dir(&launch.cwd)
        .envs(launch.variables.iter().map(|(k, v)| (k, v)))
        .env(&launch.mark.0, &launch.mark.1)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("cannot start '{program}': it is not installed; commands run in bash, as on Azure ML")
            }
            _ => format!("cannot start '{program}': {error}"),
        })?;
    Ok((child, reader))
}

async fn wait(child: &mut Child, launch: &Launch, stop: &mut StopWatch) -> Ending {
    let timeout = async {
        match launch.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        status = child.wait() => return ending(status),
        () = timeout => {
            end(child, launch.grace, stop).await;
            return Ending::TimedOut(launch.timeout.unwrap_or_default());
        }
        () = asked(stop, Stop::Gently) => {}
    }
    end(child, launch.grace, stop).await;
    Ending::Stopped
}

/// How often to look whether a group has ended whose leader is gone: nobody is told of that.
const LOOK: Duration = Duration::from_millis(20);

/// TERM to the group, then KILL when the grace time is over or somebody asks for an end now. The grace is for all of the
/// group: in a script of several commands the shell ends at once, and what it started is what needs the time.
async fn end(child: &mut Child, grace: Duration, stop: &mut StopWatch) {
    let group = child.id().map(pid);
    if *stop.borrow() != Stop::Now {
        end_group(child, Signal::SIGTERM);
        let gone = async {
            let _ = child.wait().await;
            while group.is_some_and(strays::is_alive) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = gone => return,
            () = tokio::time::sleep(grace) => {}
            () = asked(stop, Stop::Now) => {}
        }
    }
    if let Some(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let _ = child.wait().await;
}

async fn asked(stop: &mut StopWatch, least: Stop) {
    if stop.wait_for(|s| *s >= least).await.is_err() {
        // The engine is gone without a word: nobody will ask any more.
        std::future::pending::<()>().await;
    }
}

fn end_group(child: &Child, signal: Signal) {
    if let Some(id) = child.id() {
        let _ = killpg(pid(id), signal);
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

/// Ends every process of this machine that has `mark` (`NAME=value`) in its environment: what a runner left that was
/// killed itself. Gives how many there were; always 0 where there is no `/proc`.
#[must_use]
pub fn end_orphans(mark: &str) -> usize {
    strays::end_everywhere(mark)
}

/// Starts this very program once more in the background, in a process group of its own, and gives the first line that
/// it prints; or what it had to say when it ends without printing one. It lives on when this process ends.
///
/// # Errors
/// A sentence, when it cannot be started.
pub fn detach(arguments: &[std::ffi::OsString]) -> Result<String, String> {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::os::unix::process::CommandExt as _;
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

#[cfg(test)]
mod tests {
    use super::super::process::LocalProcess;
    use super::super::{Executor as _, Stop};
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::sync::watch;

    struct Ran {
        ending: Ending,
        lines: Vec<String>,
        log: String,
    }

    /// Runs a command; `on_line` may ask for a stop when it sees a line.
    async fn ran(command: &str, timeout: Option<Duration>, stop_at: Option<(&'static str, Stop)>) -> Ran {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("std_log.txt");
        let launch = Launch {
            command: command.to_owned(),
            cwd: root.path().to_owned(),
            variables: vec![("GREETING".into(), "hello".into())],
            hidden: Vec::new(),
            mark: ("TEST_MARK".into(), root.path().display().to_string()),
            log: log.clone(),
            timeout,
            grace: Duration::from_secs(20),
        };
        let (asking, stop) = watch::channel(Stop::No);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mine = seen.clone();
        let sink: LineSink = Arc::new(move |line: String| {
            if let Some((_, how)) = stop_at.filter(|(at, _)| *at == line) {
                asking.send_replace(how);
            }
            mine.lock().unwrap().push(line);
        });
        let ending = LocalProcess::new().run(launch, sink, stop).await;
        let lines = seen.lock().unwrap().clone();
        Ran { ending, lines, log: std::fs::read_to_string(log).unwrap_or_default() }
    }

    #[tokio::test]
    async fn output_of_both_streams_goes_to_log_and_watcher() {
        let ran = ran("echo $GREETING; echo oops >&2; exit 3", None, None).await;
        assert_eq!(ran.ending, Ending::Exited(3));
        assert_eq!(ran.lines, ["hello", "oops"]);
        assert_eq!(ran.log, "hello\noops\n");
    }

    #[tokio::test]
    async fn a_signal_is_told() {
        assert_eq!(ran("kill -9 $$", None, None).await.ending, Ending::Signaled(9));
    }

    #[tokio::test]
    async fn time_runs_out() {
        let limit = Duration::from_millis(50);
        assert_eq!(ran("sleep 600", Some(limit), None).await.ending, Ending::TimedOut(limit));
    }

    #[tokio::test]
    async fn a_gentle_stop_lets_the_command_clean_up() {
        let script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let ran = ran(script, None, Some(("ready", Stop::Gently))).await;
        assert_eq!(ran.ending, Ending::Stopped);
        // Bash may add a word of its own about the sleep that was ended with it.
        assert_eq!(ran.lines.last().map(String::as_str), Some("cleaned"));
    }

    #[tokio::test]
    async fn the_grace_is_for_what_a_script_started_as_well() {
        let inner = "trap 'sleep 0.1; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
        let script = format!("true\nbash -c {inner:?}\ntrue");
        let ran = ran(&script, None, Some(("ready", Stop::Gently))).await;
        assert_eq!(ran.ending, Ending::Stopped);
        assert!(ran.lines.contains(&"saved".to_owned()), "{:?}", ran.lines);
    }

    #[tokio::test]
    async fn a_stop_now_ends_even_what_ignores_term() {
        let ran = ran("trap '' TERM; echo ready; sleep 600 & wait", None, Some(("ready", Stop::Now))).await;
        assert_eq!(ran.ending, Ending::Stopped);
    }

    #[tokio::test]
    async fn a_background_process_does_not_outlive_its_step() {
        let ran = ran("sleep 600 & echo $!", None, None).await;
        assert_eq!(ran.ending, Ending::Exited(0));
        let id: i32 = ran.lines[0].parse().unwrap();
        // The kernel may need a moment to finish the kill: a zombie or nothing are both fine, a sleeper is not.
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        assert!(!state.contains(") S "), "still there: {state}");
    }

    #[tokio::test]
    async fn a_script_longer_than_an_argument_may_be_runs_all_the_same() {
        let long = format!("# {}\necho done", "x".repeat(200_000));
        assert_eq!(ran(&long, None, None).await.lines, ["done"]);
    }
}
