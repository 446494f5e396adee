//! Follows a run of another process: its record and the logs of its steps, as they grow.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::event::{EventKind, Note, journal};
use crate::store::RunFolder;

/// How often the other process's files are checked. No cheaper notification works on all systems.
const INTERVAL: Duration = Duration::from_millis(100);

/// Passes on all present and future content of the run's record and logs, until the run is over or its runner is gone.
/// Returns whether the record has the end of the run.
pub(crate) fn follow(run: &RunFolder, notes: &Sender<Note>) -> std::io::Result<bool> {
    // A record that cannot be read is an error; a log that does not exist yet is not.
    File::open(run.events())?;
    let mut record = Tail::new(&run.events());
    let mut logs: HashMap<String, Vec<Tail>> = HashMap::new();
    loop {
        // Checked before reading, so that the last lines of a runner are read after it has released its lock.
        let live = run.is_live();
        for line in record.lines() {
            let Ok(event) = journal::event(line.as_bytes(), run.workspace()) else { continue };
            if let EventKind::StepStarted { step, log, logs: several, .. } = &event.what {
                let mut tails: Vec<Tail> = several.iter().map(|p| Tail::of_process(&p.process, &p.log)).collect();
                if tails.is_empty() {
                    tails.push(Tail::new(log));
                }
                logs.insert(step.clone(), tails);
            }
            // Everything that a step printed comes before its end.
            if let EventKind::StepFinished { step, .. } = &event.what
                && let Some(mut tails) = logs.remove(step)
            {
                tails.iter_mut().for_each(|tail| pass_on(step, tail, notes, true));
            }
            let over = matches!(event.what, EventKind::RunFinished { .. });
            if notes.send(Note::Event(event)).is_err() || over {
                return Ok(over);
            }
        }
        for (step, tails) in &mut logs {
            tails.iter_mut().for_each(|tail| pass_on(step, tail, notes, false));
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
    for mut text in lines {
        if let Some(process) = &tail.process {
            text = format!("[{process}] {text}");
        }
        let _ = notes.send(Note::Line { step: step.to_owned(), text });
    }
}

/// A file that grows, or does not exist yet.
struct Tail {
    path: PathBuf,
    /// Which of several processes writes to it.
    process: Option<String>,
    file: Option<BufReader<File>>,
    torn: String,
}

impl Tail {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), process: None, file: None, torn: String::new() }
    }

    fn of_process(process: &str, path: &Path) -> Self {
        Self { process: Some(process.to_owned()), ..Self::new(path) }
    }

    /// The complete lines that were added since the last call. A step's start is recorded a moment before its process
    /// has created the log, so a missing log is looked up again.
    fn lines(&mut self) -> Vec<String> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else { return Vec::new() };
        let mut lines = Vec::new();
        let mut bytes = Vec::new();
        while file.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            self.torn.push_str(&String::from_utf8_lossy(&bytes));
            bytes.clear();
            if self.torn.ends_with('\n') {
                lines.push(std::mem::take(&mut self.torn).trim_end_matches(['\n', '\r']).to_owned());
            }
        }
        lines
    }
}
