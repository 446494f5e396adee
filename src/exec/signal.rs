//! Signals to processes that this process did not start, such as the runner of another run.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::orphans;

/// Asks another process of this user to end, such as the runner of another run.
///
/// # Errors
/// A message, if there is no such process or it belongs to another user.
pub fn terminate(id: u32) -> Result<(), String> {
    // 0 means our own process group, and 1 is init.
    if id <= 1 {
        return Err("the run has not said yet which process makes it: try again".to_owned());
    }
    nix::sys::signal::kill(pid(id), Signal::SIGTERM).map_err(|error| format!("cannot signal process {id}: {error}"))
}

/// Tells a runner to look into its run's folder. A process that does not listen for this signal ignores it.
///
/// # Errors
/// A message, if there is no such process or it belongs to another user.
pub fn call(id: u32) -> Result<(), String> {
    if id <= 1 {
        return Err("the run has not said yet which process makes it: try again".to_owned());
    }
    nix::sys::signal::kill(pid(id), CALL).map_err(|error| format!("cannot signal process {id}: {error}"))
}

/// The signal of [`call`]. By default it does nothing to a process.
pub const CALL: Signal = Signal::SIGURG;

/// Whether a process is stopped (SIGSTOP, or Ctrl-Z in a shell): it reacts only to SIGCONT and SIGKILL. Always false
/// where there is no `/proc`.
#[must_use]
pub fn is_stopped(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// Wakes a stopped process.
pub fn wake(id: u32) {
    if id > 1 {
        let _ = nix::sys::signal::kill(pid(id), Signal::SIGCONT);
    }
}

/// Kills every process of this machine that has `marker` (`NAME=value`) in its environment: what a killed runner
/// left. Returns their number; always 0 where there is no `/proc`.
#[must_use]
pub fn end_orphans(marker: &str) -> usize {
    orphans::end_everywhere(marker, &[])
}

/// A process id in the type of the system calls. A number that does not fit becomes an id that no process has.
pub(super) fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}
