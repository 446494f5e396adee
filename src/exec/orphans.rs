//! Ends processes that left their step's group: daemons, `setsid`, double forks.
//!
//! When a container ends, all of its processes end; a process can leave a process group. On Linux the runner is a
//! child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): orphans of its steps become its children. It finds those of an
//! ended step by a variable in their environment, and kills them. On other systems such a process stays.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill, killpg};
    use nix::sys::wait::{WaitPidFlag, waitpid};
    use nix::unistd::{Pid, getpgid};

    /// A chain of orphans is adopted one generation at a time; this is far more than any real chain.
    const GENERATIONS: usize = 64;
    /// How often to look for remaining processes on the whole machine, and the pause between two looks: ten seconds
    /// on a very busy machine.
    const LOOKS: usize = 1_000;
    const PAUSE: Duration = Duration::from_millis(10);

    pub(crate) fn adopt() {
        // Old kernels may refuse this. Then everything works except the adoption of orphans.
        let _ = nix::sys::prctl::set_child_subreaper(true);
    }

    pub(crate) fn end_of(marker: &str) {
        end(adopted, |id| environment(id).has(marker));
    }

    pub(crate) fn end_all(spared: &[i32]) {
        end(children, |id| !spared.contains(&id));
    }

    /// Kills until no process is found, because a process that is found may just be starting another. A killed
    /// process takes a moment to disappear, and the next caller must not find it.
    pub(crate) fn end_everywhere(marker: &str, pipes: &[u64]) -> usize {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let pipes: Vec<String> = pipes.iter().filter(|p| **p != 0).map(|pipe| format!("pipe:[{pipe}]")).collect();
        let mut ended = std::collections::BTreeSet::new();
        let mut unclear = 0;
        for _ in 0..LOOKS {
            let mut quiet = true;
            for id in everyone().filter(|id| *id != own) {
                match environment(id) {
                    found if found.has(marker) || prints_into(id, &pipes) => {
                        quiet = false;
                        let process = Pid::from_raw(id);
                        // A group that it leads belongs to a step, and may contain a process that hides its
                        // environment.
                        let group = getpgid(Some(process)) == Ok(process) && killpg(process, Signal::SIGKILL).is_ok();
                        if group || kill(process, Signal::SIGKILL).is_ok() {
                            ended.insert(id);
                        }
                    }
                    // During exec(2) a process has no environment yet. Some never have one, so the number of further
                    // looks is limited.
                    Environment::None if unclear < 5 && is_program(id) => {
                        quiet = false;
                        unclear += 1;
                    }
                    _ => {}
                }
            }
            if quiet {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        ended.len()
    }

    fn everyone() -> impl Iterator<Item = i32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    /// Whether a process runs a program. Kernel threads and zombies do not.
    fn is_program(id: i32) -> bool {
        fs::read_link(format!("/proc/{id}/exe")).is_ok()
    }

    /// Whether its output goes into one of these pipes.
    fn prints_into(id: i32, pipes: &[String]) -> bool {
        let of = |stream| fs::read_link(format!("/proc/{id}/fd/{stream}")).unwrap_or_default();
        !pipes.is_empty() && [1, 2].map(of).iter().any(|to| pipes.iter().any(|pipe| to.as_os_str() == pipe.as_str()))
    }

    enum Environment {
        Of(Vec<u8>),
        None,
    }

    impl Environment {
        fn has(&self, marker: &str) -> bool {
            matches!(self, Self::Of(bytes) if has(bytes, marker))
        }
    }

    fn environment(id: i32) -> Environment {
        match fs::read(format!("/proc/{id}/environ")) {
            Ok(bytes) if !bytes.is_empty() => Environment::Of(bytes),
            _ => Environment::None,
        }
    }

    fn has(environment: &[u8], marker: &str) -> bool {
        environment.split(|b| *b == 0).any(|variable| variable == marker.as_bytes())
    }

    fn end(list: impl Fn() -> Vec<i32>, ours: impl Fn(i32) -> bool) {
        for _ in 0..GENERATIONS {
            let found: Vec<i32> = list().into_iter().filter(|id| ours(*id)).collect();
            if found.is_empty() {
                return;
            }
            for id in found {
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
                // It was killed, so this does not wait long. Only adopted processes are reaped here.
                let _ = waitpid(Pid::from_raw(id), None::<WaitPidFlag>);
            }
        }
    }

    /// Children of this process, of all its threads.
    pub(crate) fn children() -> Vec<i32> {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|list| ids(&list))
            .collect()
    }

    /// The adopted orphans among them. The kernel gives orphans to the main thread, which has the process's own id.
    fn adopted() -> Vec<i32> {
        let main = format!("/proc/self/task/{}/children", std::process::id());
        fs::read_to_string(main).map(|list| ids(&list)).unwrap_or_default()
    }

    fn ids(list: &str) -> Vec<i32> {
        list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
    }
}

/// Makes this process the parent of its steps' orphans.
pub(super) fn adopt() {
    #[cfg(target_os = "linux")]
    linux::adopt();
}

/// Kills what is left of a step: the adopted processes that have `marker` (`NAME=value`) in their environment. Call
/// this after the step's own processes have been reaped and their groups are gone.
pub(super) fn end_of(marker: &str) {
    #[cfg(target_os = "linux")]
    linux::end_of(marker);
    #[cfg(not(target_os = "linux"))]
    let _ = marker;
}

/// Whether a process group whose leader has been reaped has a living member. A member whose parent ended first was
/// adopted by this process ([`adopt`]), and would count as living until it is reaped.
pub(super) fn is_alive(group: Pid) -> bool {
    reap(group);
    killpg(group, None).is_ok()
}

fn reap(group: Pid) {
    let members = Pid::from_raw(-group.as_raw());
    while waitpid(members, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

/// How long killed processes may take to disappear: they may be in the middle of a write to a slow disk.
const GONE: Duration = Duration::from_secs(5);

/// Kills what is left of a group whose leader has been reaped, and waits until it is gone, because only then its
/// children are adopted by this process. Usually nothing is left and this is one system call.
pub(super) async fn end_group(group: Pid) {
    if killpg(group, Signal::SIGKILL) == Err(Errno::ESRCH) {
        return;
    }
    let since = Instant::now();
    let mut pause = Duration::from_micros(100);
    while is_alive(group) && since.elapsed() < GONE {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The children that this process already has. They are to survive.
pub(super) fn children() -> Vec<i32> {
    #[cfg(target_os = "linux")]
    return linux::children();
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

/// Kills every child that is left, except those that are spared. Call this when no step runs any more.
pub(super) fn end_all(spared: &[i32]) {
    #[cfg(target_os = "linux")]
    linux::end_all(spared);
    #[cfg(not(target_os = "linux"))]
    let _ = spared;
}

/// Kills every process of this machine that has `marker` in its environment or prints into one of these pipes, and
/// returns their number.
pub(super) fn end_everywhere(marker: &str, pipes: &[u64]) -> usize {
    #[cfg(target_os = "linux")]
    return linux::end_everywhere(marker, pipes);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (marker, pipes);
        0
    }
}
