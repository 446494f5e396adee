//! Following a run of another process: its record and the logs of its steps, as they grow.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::event::{Event, Note, What};
use crate::store::RunFolder;

/// How often another process's files are looked at. There is no cheaper way to hear of them that works everywhere.
const INTERVAL: Duration = Duration::from_millis(100);

/// Passes on everything that the run's record and logs hold and will hold, until it is over or its runner is gone.
/// Returns whether the record tells the run's end.
pub(super) fn follow(run: &RunFolder, notes: &Sender<Note>) -> std::io::Result<bool> {
    let mut record = Tail::open(&run.events())?;
    let mut logs: HashMap<String, Tail> = HashMap::new();
    loop {
        // Asked before reading, so that what a runner wrote last is read after it let go.
        let live = run.is_live();
        for line in record.lines() {
            let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
            if let What::StepStarted { step, log, .. } = &event.what
                && let Ok(tail) = Tail::open(log)
            {
                logs.insert(step.clone(), tail);
            }
            // All that a step printed comes before its end.
            if let What::StepFinished { step, .. } = &event.what
                && let Some(mut tail) = logs.remove(step)
            {
                pass_on(step, &mut tail, notes, true);
            }
            let over = matches!(event.what, What::RunFinished { .. });
            if notes.send(Note::Event(event)).is_err() || over {
                return Ok(over);
            }
        }
        for (step, tail) in &mut logs {
            pass_on(step, tail, notes, false);
        }
        if !live {
            return Ok(false);
        }
        std::thread::sleep(INTERVAL);
    }
}

fn pass_on(step: &str, tail: &mut Tail, notes: &Sender<Note>, all: bool) {
    let mut lines = tail.lines();
    if all && !tail.torn.is_empty() {
        lines.push(std::mem::take(&mut tail.torn));
    }
    for text in lines {
        let _ = notes.send(Note::Line { step: step.to_owned(), text });
    }
}

/// A file that grows.
struct Tail {
    file: BufReader<File>,
    torn: String,
}

impl Tail {
    fn open(path: &Path) -> std::io::Result<Self> {
        // A log may be opened a moment before its step's process has made it.
        Ok(Self { file: BufReader::new(File::open(path)?), torn: String::new() })
    }

    /// The whole lines that were added since the last call.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut bytes = Vec::new();
        while self.file.by_ref().read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            self.torn.push_str(&String::from_utf8_lossy(&bytes));
            bytes.clear();
            if self.torn.ends_with('\n') {
                lines.push(std::mem::take(&mut self.torn).trim_end_matches(['\n', '\r']).to_owned());
            }
        }
        lines
    }
}
