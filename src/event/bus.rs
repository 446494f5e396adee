//! Passes events from the engine to the record and the views.
//!
//! The record is written at once, on the caller's thread. Views receive their copy over a channel and draw on their own
//! threads, so that a slow terminal blocks nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::journal::Journal;
use super::{Event, EventKind};
use crate::clock::Timestamp;

/// What views receive.
#[derive(Clone, Debug)]
pub enum Note {
    /// An event, as recorded.
    Event(Event),
    /// An event from before this runner. Views count it, but do not show it again.
    Past(Event),
    /// A line that a step printed, without its line break.
    Line {
        /// The step.
        step: String,
        /// The text.
        text: String,
    },
    /// The state of a step's progress bar. Sent now and then, and not recorded.
    Progress {
        /// The step.
        step: String,
        /// The line as it is drawn.
        text: String,
    },
    /// The progress of a transfer for a step. Sent now and then, and not recorded.
    Moving(Moving),
}

/// The progress of a transfer for a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moving {
    /// The step.
    pub step: String,
    /// `fetch` or `upload`.
    pub what: &'static str,
    /// The bytes that are transferred.
    pub done: u64,
    /// The total number of bytes.
    pub bytes: u64,
    /// The elapsed time in milliseconds.
    pub millis: u64,
    /// The error after which the transfer is being retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

impl Moving {
    /// Bytes per second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        (self.done * 1000).checked_div(self.millis).unwrap_or(0)
    }

    /// The estimated number of seconds until the transfer is complete.
    #[must_use]
    pub fn rest(&self) -> Option<u64> {
        self.bytes.saturating_sub(self.done).checked_div(self.rate())
    }
}

/// The connection from the engine to the record and the views.
pub struct Bus {
    inner: Mutex<Inner>,
    /// Set when the run is to end. From then on, nothing waits for a view.
    hurry: AtomicBool,
}

struct Inner {
    journal: Option<Journal>,
    /// Why the record is incomplete.
    trouble: Option<String>,
    next: u64,
    views: Vec<View>,
    drawing: Vec<JoinHandle<()>>,
}

/// How many notes a view may lag behind. A step can print faster than any terminal draws; its log has everything. Lines
/// are limited to a few kilobytes, so that these notes do not fill the memory.
const LAG: usize = 4_096;

/// How long to wait before checking again whether a full channel has space.
const PAUSE: Duration = Duration::from_millis(2);
/// How long views may take to draw the end of a run that was stopped.
const LAST_DRAWING: Duration = Duration::from_secs(2);

/// What happens when a step prints faster than a view draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// The step waits, as any program waits for the pipe that it writes to.
    Waits,
    /// Lines are dropped and counted, so that nothing waits for a terminal.
    LeavesOut,
}

struct View {
    notes: SyncSender<Note>,
    slow: Slow,
    /// Lines that were dropped.
    dropped: u64,
}

impl Bus {
    /// A bus that records into that journal. `None` in tests of views.
    #[must_use]
    pub fn new(journal: Option<Journal>) -> Self {
        let inner = Inner { journal, trouble: None, next: 0, views: Vec::new(), drawing: Vec::new() };
        Self { inner: Mutex::new(inner), hurry: AtomicBool::new(false) }
    }

    /// A bus for a resumed record: the next event gets that number.
    #[must_use]
    pub fn from(self, next: u64) -> Self {
        self.lock().next = next;
        self
    }

    /// Sends the views an event that was recorded before this runner.
    pub fn past(&self, event: Event) {
        self.lock().send(Note::Past(event), &self.hurry);
    }

    /// Adds a view: a function that draws until its channel closes.
    pub fn watch(&self, slow: Slow, view: impl FnOnce(Receiver<Note>) + Send + 'static) {
        let (notes, receiver) = sync_channel(LAG);
        let mut inner = self.lock();
        inner.views.push(View { notes, slow, dropped: 0 });
        inner.drawing.push(std::thread::spawn(move || view(receiver)));
    }

    /// Records an event and sends it to the views. If the record cannot be written, the run continues without it, and
    /// the views receive one warning: a recording failure never breaks a run.
    pub fn publish(&self, what: EventKind) {
        self.publish_all(vec![what]);
    }

    /// Publishes events that happened together. They are recorded by one write.
    pub fn publish_all(&self, happened: Vec<EventKind>) {
        if happened.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let last = happened.iter().any(|what| matches!(what, EventKind::RunFinished { .. }));
        let events: Vec<Event> = happened.into_iter().map(|what| inner.event(what)).collect();
        let written = inner.journal.as_mut().map_or(Ok(()), |journal| {
            journal.append(&events)?;
            if last { journal.sync() } else { Ok(()) }
        });
        events.into_iter().for_each(|event| inner.send(Note::Event(event), &self.hurry));
        // The record stays open, and with it the lock that marks this run as live. The disk may have space again later.
        let trouble = written.err().map(|error| format!("the record of this run cannot be written: {error}"));
        if let Some(message) = trouble.filter(|_| inner.trouble.is_none()) {
            inner.trouble = Some(message.clone());
            let event = inner.event(EventKind::Warning { step: None, message });
            inner.send(Note::Event(event), &self.hurry);
        }
    }

    /// The run is to end: from now on, nothing waits for views that do not draw.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Passes on a line that a step printed.
    pub fn line(&self, step: &str, text: &str) {
        self.lock().views.retain_mut(|view| view.line(step, text, &self.hurry));
    }

    /// Passes on the progress of a transfer, to views whose channel has space.
    pub fn moving(&self, moving: &Moving) {
        self.in_passing(&|| Note::Moving(moving.clone()));
    }

    /// Passes on the state of a step's progress bar, to views whose channel has space.
    pub fn progress(&self, step: &str, text: &str) {
        self.in_passing(&|| Note::Progress { step: step.to_owned(), text: text.to_owned() });
    }

    fn in_passing(&self, note: &dyn Fn() -> Note) {
        for view in &self.lock().views {
            let _ = view.notes.try_send(note());
        }
    }

    /// Closes the views, and waits until they have drawn everything. Releases the journal's lock: from then on, the run
    /// is over. If the record is incomplete, returns why.
    pub fn close(&self) -> Option<String> {
        let (drawing, trouble) = {
            let mut inner = self.lock();
            inner.views.clear();
            let whole = inner.journal.take().is_none_or(|journal| journal.is_whole());
            (std::mem::take(&mut inner.drawing), inner.trouble.take().filter(|_| !whole))
        };
        let deadline = Instant::now() + LAST_DRAWING;
        for view in drawing {
            while self.hurry.load(Ordering::Relaxed) && !view.is_finished() {
                if Instant::now() > deadline {
                    return trouble;
                }
                std::thread::sleep(PAUSE);
            }
            let _ = view.join();
        }
        trouble
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Inner {
    /// An event with its number and time.
    fn event(&mut self, what: EventKind) -> Event {
        let event = Event { seq: self.next, time: Timestamp::now(), what };
        self.next += 1;
        event
    }

    /// Events are few and must not be lost during the run: this waits for a view whose channel is full.
    fn send(&mut self, note: Note, hurry: &AtomicBool) {
        if let [view] = &mut self.views[..] {
            // The usual case: nothing is copied.
            if !send_waiting(&view.notes, note, hurry) {
                self.views.clear();
            }
            return;
        }
        self.views.retain(|view| send_waiting(&view.notes, note.clone(), hurry));
    }
}

/// Waits until the channel has space, or until waiting must end. False if the view has ended.
fn send_waiting(notes: &SyncSender<Note>, mut note: Note, hurry: &AtomicBool) -> bool {
    loop {
        match notes.try_send(note) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(_)) if hurry.load(Ordering::Relaxed) => return true,
            Err(TrySendError::Full(back)) => note = back,
        }
        std::thread::sleep(PAUSE);
    }
}

impl View {
    /// Passes a line on if the channel has space, or else waits or counts it. False if the view has ended.
    fn line(&mut self, step: &str, text: &str, hurry: &AtomicBool) -> bool {
        let line = |text: String| Note::Line { step: step.to_owned(), text };
        if self.slow == Slow::Waits {
            return send_waiting(&self.notes, line(text.to_owned()), hurry);
        }
        if self.dropped > 0 {
            let text = format!("[{} lines not shown; see the log]", self.dropped);
            if self.notes.try_send(line(text)).is_ok() {
                self.dropped = 0;
            }
        }
        match self.notes.try_send(line(text.to_owned())) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_view_that_lags_loses_lines_and_is_told_how_many() {
        let bus = Bus::new(None);
        let (open, gate) = sync_channel::<()>(0);
        let (drew, drawn) = std::sync::mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mine = seen.clone();
        bus.watch(Slow::LeavesOut, move |notes| {
            let _ = gate.recv();
            for note in notes {
                if let Note::Line { text, .. } = note {
                    mine.lock().unwrap().push(text);
                    let _ = drew.send(());
                }
            }
        });
        for number in 0..LAG + 5 {
            bus.line("a", &number.to_string());
        }
        open.send(()).unwrap();
        // All that had room: then there is room again.
        assert_eq!(drawn.iter().take(LAG).count(), LAG);
        bus.line("a", "after");
        bus.close();
        let seen = seen.lock().unwrap();
        assert!(seen.contains(&"[5 lines not shown; see the log]".to_owned()));
        assert_eq!(seen.last().map(String::as_str), Some("after"));
    }

    #[test]
    fn views_see_everything_in_order_before_close_returns() {
        let bus = Bus::new(None);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mine = seen.clone();
        bus.watch(Slow::LeavesOut, move |notes| {
            for note in notes {
                mine.lock().unwrap().push(match note {
                    Note::Event(event) | Note::Past(event) => event.seq.to_string(),
                    Note::Line { text, .. } => text,
                    Note::Moving(moving) => moving.step,
                    Note::Progress { text, .. } => text,
                });
            }
        });
        bus.publish(EventKind::StepPreparing { step: "a".into(), attempt: 1, because: Vec::new() });
        bus.line("a", "hello");
        bus.publish(EventKind::CancelRequested { by: "test".into() });
        bus.close();
        assert_eq!(*seen.lock().unwrap(), ["0", "hello", "1"]);
    }
}
