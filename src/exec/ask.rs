//! Asks a program something: it is started, prints its answer and ends. For questions to the machine, not for steps.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What a program prints on stdout. `None` when it cannot be started, fails, or takes longer than `limit`; then nothing of
/// it is left. It has a process group of its own and gets no variables that begin with `PYTHON`, as steps do not.
pub fn ask(program: &Path, arguments: &[&str], folder: &Path, limit: Duration) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    if folder.is_dir() {
        command.current_dir(folder);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PYTHON")) {
        command.env_remove(name);
    }
    let mut child = command.spawn().ok()?;
    let group = Pid::from_raw(child.id().cast_signed());
    let mut stdout = child.stdout.take()?;
    let (answer, answered) = channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = answer.send(stdout.read_to_end(&mut text).map(|_| text));
    });
    let text = answered.recv_timeout(limit).ok().and_then(Result::ok);
    if text.is_none() {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let succeeded = child.wait().is_ok_and(|status| status.success());
    text.filter(|_| succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_a_program_prints_if_it_succeeds_in_time() {
        let ask = |script: &str, limit| ask(Path::new("/bin/sh"), &["-c", script], Path::new("/"), limit);
        let long = Duration::from_secs(60);
        assert_eq!(ask("pwd", long).as_deref(), Some(&b"/\n"[..]));
        assert_eq!(ask("echo x; exit 1", long), None);
        assert_eq!(ask("echo x; sleep 1000 & wait", Duration::from_millis(1)), None);
        assert_eq!(super::ask(Path::new("/no/such"), &[], Path::new("/"), long), None);
    }
}
