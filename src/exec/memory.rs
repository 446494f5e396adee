//! Detects whether the kernel killed a process because it ran out of memory. The kernel counts such kills, for the
//! cgroup and for the machine.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The maximum age of the count that a step starts from, so that a thousand short steps do not read it a thousand
/// times.
const FRESH: Duration = Duration::from_secs(1);

/// Reads the kernel's count of such kills.
#[derive(Debug, Default)]
pub(super) struct OutOfMemory {
    last: Mutex<Option<(Instant, Count)>>,
}

/// The counts at one time: for the machine, and for the cgroup if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count(Option<u64>, Option<u64>);

impl OutOfMemory {
    /// The count at the start of a step, or shortly before.
    pub(super) fn at_start(&self) -> Count {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match *last {
            Some((when, count)) if when.elapsed() < FRESH => count,
            _ => {
                let count = now();
                *last = Some((Instant::now(), count));
                count
            }
        }
    }

    /// Whether the kernel has killed a process for lack of memory since then.
    pub(super) fn killed_since(&self, start: Count) -> bool {
        let now = now();
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((Instant::now(), now));
        rose(start.0, now.0) || rose(start.1, now.1)
    }
}

fn rose(before: Option<u64>, after: Option<u64>) -> bool {
    matches!((before, after), (Some(before), Some(after)) if after > before)
}

fn now() -> Count {
    Count(counted("/proc/vmstat"), counted("/sys/fs/cgroup/memory.events"))
}

fn counted(file: &str) -> Option<u64> {
    parse(&std::fs::read_to_string(file).ok()?)
}

fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_is_read() {
        assert_eq!(parse("low 0\noom 3\noom_kill 2\noom_group_kill 1\n"), Some(2));
        assert_eq!(parse("nothing"), None);
        assert!(rose(Some(1), Some(2)) && !rose(Some(2), Some(2)) && !rose(None, Some(1)));
    }
}
