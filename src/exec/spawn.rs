//! Starting programs that are no steps: this program once more, questions to other programs, and programs that get the
//! person's terminal.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

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

/// Starts this very program once more beside this one: out of reach of the terminal's signals, without the user's streams
/// and without the variables that mark processes of a run.
pub(super) fn beside(
    arguments: [&str; 2],
    stdin: std::fs::File,
    stderr: std::io::PipeReader,
) -> std::io::Result<std::process::Child> {
    let own = if cfg!(target_os = "linux") { OWN.into() } else { std::env::current_exe()? };
    std::process::Command::new(own)
        .arg0("amlrun")
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .spawn()
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
