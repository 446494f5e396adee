//! Commands that the watchdog runs when the runner was killed: they remove what is not a process of the runner, such as a
//! container.
//!
//! They are in a file without a name that only grows, so that it is valid at every moment: a line adds a command, or
//! says that it is not needed any more. A line without its end was being written when the runner was killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::spawn;

/// The runner's side.
#[derive(Debug)]
pub(super) struct Cleanups {
    file: File,
    next: AtomicU64,
}

/// A command that is to be run if the runner is killed, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Cleanup {
    cleanups: Arc<Cleanups>,
    number: u64,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Add(u64, Vec<String>),
    Drop(u64),
}

impl Cleanups {
    /// The commands in a file, which is empty.
    pub(super) fn new(file: File) -> Arc<Self> {
        Arc::new(Self { file, next: AtomicU64::new(0) })
    }

    /// Adds a command: a program and its arguments.
    pub(super) fn add(self: &Arc<Self>, command: &[String]) -> Cleanup {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(&Line::Add(number, command.to_owned()));
        Cleanup { cleanups: self.clone(), number }
    }

    /// A line is one write: those of two threads do not mix.
    fn write(&self, line: &Line) {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        let _ = (&self.file).write_all(&text);
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.cleanups.write(&Line::Drop(self.number));
    }
}

/// The commands in the content of a file that are still needed.
pub(super) fn commands(content: &[u8]) -> Vec<Vec<String>> {
    let mut needed = BTreeMap::new();
    for line in content.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Add(number, command)) => drop(needed.insert(number, command)),
            Ok(Line::Drop(number)) => drop(needed.remove(&number)),
            Err(_) => {}
        }
    }
    needed.into_values().collect()
}

/// Runs commands, and waits until all have ended.
pub(super) fn run(commands: &[Vec<String>]) {
    spawn::all_to_end(commands);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_needed_is_read_whenever_the_writer_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let cleanups = Cleanups::new(File::create(&path).unwrap());
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let first = cleanups.add(&words("rm a"));
        let _second = cleanups.add(&words("rm b c"));
        drop(first);
        let content = std::fs::read(&path).unwrap();
        assert_eq!(commands(&content), [words("rm b c")]);
        // The last line is not complete: it says that the first is not needed any more.
        assert_eq!(commands(&content[..content.len() - 4]), [words("rm a"), words("rm b c")]);
    }
}
