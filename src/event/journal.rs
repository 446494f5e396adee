//! `events.jsonl`: the record of a run, with one event on each line. It is written before the views receive the event.
//!
//! The writer holds a lock on the file while it is alive, so that other processes can tell a live run from one whose
//! runner died. Paths are stored relative to the workspace, and resolved against its present location when they are
//! read. A damaged line affects no other line.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::Event;
use crate::relative;

/// Writes the record.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// The workspace. Paths are relative to it.
    base: PathBuf,
    /// The length of the part of the file that has complete events.
    whole: u64,
    /// Events that could not be written yet.
    waiting: Vec<u8>,
    /// Whether events were lost because too many were waiting.
    lost: bool,
}

/// The maximum number of bytes of events that wait until the disk has space again.
const FLUSH_AT: usize = 16 << 20;

impl Journal {
    /// The record of a new run in the workspace `base`. It was created and locked together with its folder.
    #[must_use]
    pub fn of(file: File, base: &Path) -> Self {
        Self { file, base: base.to_owned(), whole: 0, waiting: Vec::new(), lost: false }
    }

    /// Opens the record of a resumed run, locks it, and removes an incomplete last line.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another runner holds the lock; or when the file cannot be read or written.
    pub fn resume(path: &Path, base: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        file.try_lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
        }
        Ok(Self { file, base: base.to_owned(), whole: whole as u64, waiting: Vec::new(), lost: false })
    }

    /// Appends events by one write, so that a killed runner leaves at most one incomplete line at the end. Events that
    /// cannot be written wait, and are written together with later ones: no line inside the record is incomplete.
    ///
    /// # Errors
    /// When the disk is full or not available.
    pub fn append(&mut self, events: &[Event]) -> io::Result<()> {
        let before = self.waiting.len();
        for event in events {
            if event.has_paths() {
                let kept = event.clone().with_paths(&|path| relative::to(&self.base, path));
                serde_json::to_writer(&mut self.waiting, &kept)?;
            } else {
                serde_json::to_writer(&mut self.waiting, event)?;
            }
            self.waiting.push(b'\n');
        }
        match self.file.write_all(&self.waiting) {
            Ok(()) => {
                self.whole += self.waiting.len() as u64;
                self.waiting.clear();
                Ok(())
            }
            Err(error) => {
                if self.waiting.len() > FLUSH_AT {
                    self.waiting.truncate(before);
                    self.lost = true;
                }
                // A part of a line may have been written.
                self.file.set_len(self.whole)?;
                Err(error)
            }
        }
    }

    /// Whether all events are in the file.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.waiting.is_empty() && !self.lost
    }

    /// Syncs the file to disk.
    ///
    /// # Errors
    /// When syncing fails.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A record that was read.
#[derive(Debug, Default)]
pub struct Record {
    /// Its events, in order.
    pub events: Vec<Event>,
    /// The numbers of lines that are not valid events, from 1.
    pub damaged: Vec<usize>,
}

/// Parses one line of the record of a run in the workspace `base`.
///
/// # Errors
/// When the line is not a valid event.
pub fn event(line: &[u8], base: &Path) -> serde_json::Result<Event> {
    let event: Event = serde_json::from_slice(line.trim_ascii_end())?;
    Ok(event.with_paths(&|path| relative::from(base, path)))
}

/// Reads the record of a run in the workspace `base`. An incomplete last line, as a killed runner leaves it, is
/// ignored.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path, base: &Path) -> io::Result<Record> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(parse(&bytes, base))
}

fn parse(bytes: &[u8], base: &Path) -> Record {
    let mut record = Record::default();
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match event(line, base) {
            Ok(event) => record.events.push(event),
            Err(_) if !line.ends_with(b"\n") || line.trim_ascii().is_empty() => {}
            Err(_) => record.damaged.push(number + 1),
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::super::EventKind;
    use super::*;
    use crate::clock::Timestamp;

    fn said(seq: u64) -> Event {
        Event {
            seq,
            time: Timestamp(seq.cast_signed()),
            what: EventKind::StepPreparing { step: "a".into(), attempt: 1, because: Vec::new() },
        }
    }

    #[test]
    fn a_torn_last_line_loses_nothing_before_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.jsonl");
        let mut journal = Journal::of(File::create(&path).unwrap(), root.path());
        journal.append(&[said(0)]).unwrap();
        journal.append(&[said(1)]).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"seq\":2,\"ti");
        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&path, root.path()).unwrap().events.iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn what_found_no_room_is_written_when_there_is() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.jsonl");
        let mut journal = Journal::of(File::create(&path).unwrap(), root.path());
        journal.append(&[said(0)]).unwrap();
        let works = std::mem::replace(&mut journal.file, File::options().append(true).open("/dev/full").unwrap());
        assert!(journal.append(&[said(1)]).is_err());
        journal.file = works;
        journal.append(&[said(2)]).unwrap();
        assert_eq!(read(&path, root.path()).unwrap().events.iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_damaged_line_costs_that_line() {
        let line = |seq| serde_json::to_string(&said(seq)).unwrap();
        let mut bytes = format!("{}\nnonsense\n{}\n", line(0), line(2)).into_bytes();
        bytes.extend_from_slice(b"{\"seq\": 3, \"time\xff\": 1}\n");
        let record = parse(&bytes, Path::new("/w"));
        assert_eq!(record.events.iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(record.damaged, [2, 4]);
    }

    #[test]
    fn paths_are_those_of_where_the_workspace_is_now() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("old/.amlrun"), root.path().join("new/.amlrun"));
        let path = root.path().join("events.jsonl");
        let what = EventKind::StepStarted {
            step: "a".into(),
            command: "true".into(),
            log: old.join("runs/r/log"),
            logs: vec![],
            environment: None,
            handle: None,
        };
        let mut journal = Journal::of(File::create(&path).unwrap(), &old);
        journal.append(&[Event { seq: 0, time: Timestamp(0), what }]).unwrap();
        let read = read(&path, &new).unwrap().events;
        assert!(matches!(&read[0].what, EventKind::StepStarted { log, .. } if *log == new.join("runs/r/log")));
    }
}
