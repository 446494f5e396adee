//! Starts programs that are not steps: this program again, queries to other programs, and programs that get the
//! user's terminal.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// The output of `--version` of a program; empty if it does not run.
pub(super) async fn version(program: &Path) -> String {
    let said = Command::new(program).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output().await;
    said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default()
}

/// Whether a program can be started and succeeds.
pub(super) async fn succeeds(program: &Path, arguments: Vec<OsString>) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.status().await.is_ok_and(|status| status.success())
}

/// This program. Its file may have been replaced meanwhile, but Linux still has the original.
pub(super) const OWN: &str = "/proc/self/exe";

/// Variables with these prefixes belong to a run, or to the tests of one. Some mark its processes.
const OF_RUNS: [&str; 2] = ["AMLRUN_", "AZUREML_"];

/// Starts this program again as a companion: in its own process group, without the terminal's signals, the user's
/// streams and the variables that mark processes of a run.
pub(super) fn beside(
    arguments: [&str; 2],
    stdin: std::fs::File,
    stdout: std::fs::File,
    stderr: std::io::PipeReader,
) -> std::io::Result<std::process::Child> {
    let own = if cfg!(target_os = "linux") { OWN.into() } else { std::env::current_exe()? };
    let of_runs = |name: &std::ffi::OsStr| OF_RUNS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix));
    let variables = std::env::vars_os().filter(|(name, _)| !of_runs(name));
    std::process::Command::new(own)
        .arg0("amlrun")
        .args(arguments)
        .env_clear()
        .envs(variables)
        .current_dir("/")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
}

/// Runs programs at the same time, without input and output, and waits for all of them.
pub(super) fn all_to_end(commands: &[Vec<String>]) {
    let start = |command: &Vec<String>| {
        let (program, arguments) = command.split_first()?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().ok()
    };
    let started: Vec<_> = commands.iter().filter_map(start).collect();
    for mut process in started {
        let _ = process.wait();
    }
}

/// Starts this program again in the background, in its own process group, and returns the first line that it prints;
/// or its error output, if it ends without printing a line. It continues to run after this process ends.
///
/// # Errors
/// A message, if it cannot be started.
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

/// Runs a program in the foreground, with the user's terminal, and returns its exit code, or 128 + the signal's
/// number if a signal ended it. Ctrl-C is for the program: this process continues.
///
/// # Errors
/// A message, if it cannot be started.
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
