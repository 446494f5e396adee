//! The log file of a process: created at the first byte, bounded in size, and never a reason to stop the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

/// How much of the end of a truncated log is kept, because the last lines are usually the important ones.
const TAIL: usize = 256 * 1024;

/// A log that is being written.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    /// How many more bytes it takes from the beginning.
    room: u64,
    limit: u64,
    /// The last bytes that it did not take, and up to as many before them.
    tail: Vec<u8>,
    /// How many bytes it did not take.
    beyond: u64,
    broken: bool,
}

impl Log {
    /// A log file at `path` that keeps `limit` bytes from the beginning. The file is not created before something is
    /// written.
    pub(super) fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, file: None, room: limit, limit, tail: Vec::new(), beyond: 0, broken: false }
    }

    /// Adds bytes. Returns a message the first time that they cannot be written; after that, nothing is written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<String> {
        if self.broken {
            return None;
        }
        let fits = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
        let (head, rest) = bytes.split_at(fits);
        let cut_now = !rest.is_empty() && self.beyond == 0;
        if let Err(error) = self.append(head) {
            self.broken = true;
            return Some(trouble(&self.path, &error));
        }
        self.room -= fits as u64;
        self.keep_last(rest);
        let size = Bytes(self.limit);
        cut_now.then(|| format!("its log has reached {size}: from now on only the end of the output is kept"))
    }

    /// Writes the end of a truncated log, and how much is missing before it.
    pub(super) fn finish(&mut self) {
        if self.beyond == 0 || self.broken {
            return;
        }
        let tail = std::mem::take(&mut self.tail);
        let tail = &tail[tail.len().saturating_sub(TAIL)..];
        let left_out = self.beyond - tail.len() as u64;
        let note = format!("\n[amlrun: {left_out} bytes omitted here: a log is limited to {}]\n", Bytes(self.limit));
        // Errors are ignored, because the beginning of the log exists.
        let _ = self.append(note.as_bytes()).and_then(|()| self.append(tail));
        self.beyond = 0;
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            let open = || OpenOptions::new().create(true).append(true).open(&self.path);
            self.file = Some(open().or_else(|error| match (error.kind(), self.path.parent()) {
                (io::ErrorKind::NotFound, Some(folder)) => std::fs::create_dir_all(folder).and_then(|()| open()),
                _ => Err(error),
            })?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }

    fn keep_last(&mut self, bytes: &[u8]) {
        self.beyond += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        // Moved from time to time, not for each read.
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }
}

impl Drop for Log {
    /// Also if a process that left its group keeps the pipe open and is not waited for.
    fn drop(&mut self) {
        self.finish();
    }
}

fn trouble(path: &std::path::Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        _ => error.to_string(),
    };
    format!("its log can no longer be written: {why} ({})", path.display())
}

/// A limit in the unit in which somebody wrote it. [`crate::number::human_bytes`] would round it.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            size if size >= 1 << 30 && size % (1 << 30) == 0 => write!(f, "{} GiB", size >> 30),
            size if size >= 1 << 20 && size % (1 << 20) == 0 => write!(f, "{} MiB", size >> 20),
            size => write!(f, "{size} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_prints_nothing_makes_no_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("log");
        drop(Log::new(path.clone(), 10));
        assert!(!path.exists());
    }

    #[test]
    fn a_log_that_is_cut_keeps_its_beginning_and_its_end() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("log");
        let mut log = Log::new(path.clone(), 10);
        assert_eq!(log.write(b"beginning "), None);
        assert!(log.write(&vec![b'x'; 2 * TAIL]).unwrap().contains("10 bytes"));
        assert_eq!(log.write(b" the end"), None, "it is said once");
        drop(log);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with(&format!("beginning \n[amlrun: {} bytes omitted here", TAIL + 8)), "{}", &text[..90]);
        assert!(text.ends_with(" the end"));
    }

    #[test]
    fn a_log_that_cannot_be_written_is_told_once() {
        let mut log = Log::new(PathBuf::from("/dev/full"), 10);
        assert!(log.write(b"a").unwrap().contains("the disk is full"));
        assert_eq!(log.write(b"b"), None);
    }
}
