//! `events.jsonl`: the record of a run, one event a line, written before anybody is told.
//!
//! The writer holds a lock on the file as long as it lives, so that others can tell a run that goes on from one whose
//! runner died.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::Event;

/// The writing end.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// How much of the file is whole events.
    whole: u64,
    /// Events that found no room yet.
    waiting: Vec<u8>,
    /// Whether some found none for too long.
    lost: bool,
}

/// How many bytes of events wait at most for a disk to have room again.
const PATIENCE: usize = 16 << 20;

impl Journal {
    /// Makes the record of a new run and locks it.
    ///
    /// # Errors
    /// When the file exists already or cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        file.try_lock()?;
        Ok(Self { file, whole: 0, waiting: Vec::new(), lost: false })
    }

    /// The record of a new run, which was made and locked with its folder.
    #[must_use]
    pub fn of(file: File) -> Self {
        Self { file, whole: 0, waiting: Vec::new(), lost: false }
    }

    /// Opens the record of a run that goes on, locks it, and cuts off a torn last line.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another runner has it; when the file cannot be read or written.
    pub fn resume(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        file.try_lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
        }
        Ok(Self { file, whole: whole as u64, waiting: Vec::new(), lost: false })
    }

    /// Appends one event as one write, so that a killed runner leaves at most one torn line at the end. What cannot be
    /// written waits, and is written with the next event that can be: the record has no torn line in its middle.
    ///
    /// # Errors
    /// When the disk is full or gone.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let before = self.waiting.len();
        serde_json::to_writer(&mut self.waiting, event)?;
        self.waiting.push(b'\n');
        match self.file.write_all(&self.waiting) {
            Ok(()) => {
                self.whole += self.waiting.len() as u64;
                self.waiting.clear();
                Ok(())
            }
            Err(error) => {
                if self.waiting.len() > PATIENCE {
                    self.waiting.truncate(before);
                    self.lost = true;
                }
                // A part of a line may have found room.
                self.file.set_len(self.whole)?;
                Err(error)
            }
        }
    }

    /// Whether everything that was said is in the file.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.waiting.is_empty() && !self.lost
    }

    /// Makes sure that everything written is on the disk.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads a record back. A torn last line, as a killed runner leaves it, is passed over.
///
/// # Errors
/// When the file cannot be read, or a line in its middle is no event.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    parse(&text).map_err(|(line, error)| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}:{line}: {error}", path.display()))
    })
}

fn parse(text: &str) -> Result<Vec<Event>, (usize, serde_json::Error)> {
    let mut events = Vec::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        match serde_json::from_str(line.trim_end()) {
            Ok(event) => events.push(event),
            Err(_) if !line.ends_with('\n') || line.trim().is_empty() => {}
            Err(error) => return Err((number + 1, error)),
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::super::What;
    use super::*;
    use crate::clock::Timestamp;

    fn event(seq: u64) -> Event {
        Event {
            seq,
            time: Timestamp(seq.cast_signed()),
            what: What::StepPreparing { step: "a".into(), attempt: 1, because: Vec::new() },
        }
    }

    #[test]
    fn a_torn_last_line_loses_nothing_before_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        journal.append(&event(0)).unwrap();
        journal.append(&event(1)).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"seq\":2,\"ti");
        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap().iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn what_found_no_room_is_written_when_there_is() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        journal.append(&event(0)).unwrap();
        let works = std::mem::replace(&mut journal.file, File::options().append(true).open("/dev/full").unwrap());
        assert!(journal.append(&event(1)).is_err());
        journal.file = works;
        journal.append(&event(2)).unwrap();
        assert_eq!(read(&path).unwrap().iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_told_with_its_number() {
        let (line, _) = parse("nonsense\n{}\n").unwrap_err();
        assert_eq!(line, 1);
    }

    #[test]
    fn a_journal_is_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("events.jsonl");
        let _first = Journal::create(&path).unwrap();
        assert!(Journal::create(&path).is_err());
    }
}
