//! Runs a program for its answer: it starts, prints the answer and ends. Used to query the machine, not for steps.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The result of a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// What the program printed on stdout before it succeeded.
    Printed(Vec<u8>),
    /// The program cannot be started, or fails by itself. It would fail for every other caller as well.
    Failed,
    /// The program was killed, by the limit or from outside. Its answer is not known.
    None,
}

/// Runs a program for its answer. After `limit`, its process group is killed. It has its own process group and gets
/// no variables that begin with `PYTHON`; steps do not get them either.
pub fn ask(program: &Path, arguments: &[&str], folder: &Path, limit: Duration) -> Reply {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    if folder.is_dir() {
        command.current_dir(folder);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PYTHON")) {
        command.env_remove(name);
    }
    let Ok(mut child) = command.spawn() else { return Reply::Failed };
    let group = Pid::from_raw(child.id().cast_signed());
    let (answer, answered) = channel();
    if let Some(mut stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = answer.send(stdout.read_to_end(&mut text).map(|_| text));
        });
    }
    let text = answered.recv_timeout(limit).ok().and_then(Result::ok);
    if text.is_none() {
        let _ = killpg(group, Signal::SIGKILL);
    }
    match (child.wait().ok().and_then(|status| status.code()), text) {
        (Some(0), Some(text)) => Reply::Printed(text),
        (Some(code), Some(_)) if code != 0 => Reply::Failed,
        _ => Reply::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_a_program_prints_if_it_succeeds_in_time() {
        let ask = |script: &str, limit| ask(Path::new("/bin/sh"), &["-c", script], Path::new("/"), limit);
        let long = Duration::from_secs(60);
        assert_eq!(ask("pwd", long), Reply::Printed(b"/\n".to_vec()));
        assert_eq!(ask("echo x; exit 1", long), Reply::Failed);
        assert_eq!(ask("echo x; kill -9 $$", long), Reply::None);
        assert_eq!(ask("echo x; sleep 1000 & wait", Duration::from_millis(1)), Reply::None);
        assert_eq!(super::ask(Path::new("/no/such"), &[], Path::new("/"), long), Reply::Failed);
    }
}
