//! Processes that left their step's group: daemons, `setsid`, double forks.
//!
//! A container takes everything down with it; a process group loses what leaves it. On Linux the runner makes itself
//! the one that orphans of its steps come back to (prctl(2), PR_SET_CHILD_SUBREAPER), finds those of an ended step by a
//! variable in their environment, and ends them. Elsewhere such a process stays.

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, waitpid};
    use nix::unistd::Pid;

    /// A chain of orphans comes back one generation at a time; this is far more than any real one.
    const GENERATIONS: usize = 64;

    pub(crate) fn adopt() {
        // Without it, which old kernels may refuse, everything works but this.
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }

    pub(crate) fn end_of(mark: &str) {
        end(|id| is_marked(id, mark));
    }

    pub(crate) fn end_all(spared: &[i32]) {
        end(|id| !spared.contains(&id));
    }

    pub(crate) fn end_everywhere(mark: &str) -> usize {
        let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let marked: Vec<i32> = ids.filter(|id| *id != own && is_marked(*id, mark)).collect();
        let ended: Vec<i32> =
            marked.into_iter().filter(|id| kill(Pid::from_raw(*id), Signal::SIGKILL).is_ok()).collect();
        // A killed process is gone when the kernel gets to it: whoever asks next must find none. They are no children of
        // ours, so there is nothing to wait on but the process table; five seconds are for a machine that is very busy.
        for _ in 0..500 {
            if !ended.iter().any(|id| runs(*id)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        ended.len()
    }

    /// Whether a process is there and no zombie.
    fn runs(id: i32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    fn is_marked(id: i32, mark: &str) -> bool {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|variable| variable == mark.as_bytes())
    }

    fn end(ours: impl Fn(i32) -> bool) {
        for _ in 0..GENERATIONS {
            let found: Vec<i32> = children().into_iter().filter(|id| ours(*id)).collect();
            if found.is_empty() {
                return;
            }
            for id in found {
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
                // It was killed, so this does not wait for long; only what is ours by adoption is reaped here.
                let _ = waitpid(Pid::from_raw(id), None::<WaitPidFlag>);
            }
        }
    }

    /// Children of this process, on whichever thread they hang.
    pub(crate) fn children() -> Vec<i32> {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>()).collect()
    }
}

/// From now on orphans of our steps come back to this process.
pub(super) fn adopt() {
    #[cfg(target_os = "linux")]
    linux::adopt();
}

/// Ends what is left of a step: the processes that have `mark` (`NAME=value`) in their environment. To be called when
/// the step's own process has been waited for.
pub(super) fn end_of(mark: &str) {
    #[cfg(target_os = "linux")]
    linux::end_of(mark);
    #[cfg(not(target_os = "linux"))]
    let _ = mark;
}

/// Whether a process group whose leader has been waited for has a living member. A member whose parent ended first came
/// back to this process ([`adopt`]), and would count as living until it is waited for.
pub(super) fn is_alive(group: nix::unistd::Pid) -> bool {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    let members = nix::unistd::Pid::from_raw(-group.as_raw());
    while waitpid(members, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    nix::sys::signal::killpg(group, None).is_ok()
}

/// The children that this process has already: whoever started them wants them to live on.
pub(super) fn children() -> Vec<i32> {
    #[cfg(target_os = "linux")]
    return linux::children();
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

/// Ends every child that is left, but for those that are spared. To be called when no step runs any more.
pub(super) fn end_all(spared: &[i32]) {
    #[cfg(target_os = "linux")]
    linux::end_all(spared);
    #[cfg(not(target_os = "linux"))]
    let _ = spared;
}

/// Ends every process of this machine that has `mark` in its environment, and counts them.
pub(super) fn end_everywhere(mark: &str) -> usize {
    #[cfg(target_os = "linux")]
    return linux::end_everywhere(mark);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = mark;
        0
    }
}
