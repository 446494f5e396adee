//! Signals to processes that this one did not start, such as another run's runner.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::orphans;

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

/// Ends every process of this machine that has `marker` (`NAME=value`) in its environment: what a runner left that was
/// killed itself. Gives how many there were; always 0 where there is no `/proc`.
#[must_use]
pub fn end_orphans(marker: &str) -> usize {
    orphans::end_everywhere(marker, &[])
}

/// A process number as the system's calls take it; one that does not fit names no process.
pub(super) fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}
