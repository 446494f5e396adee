//! A run as JSON lines: the events exactly as recorded, and what steps print as `{"event":"line",…}` between them.

use std::io::Write;
use std::sync::mpsc::Receiver;

use serde_json::json;

use crate::event::Note;

/// Draws until the notes end. With `quiet` the lines that steps print are left out.
pub fn draw(notes: Receiver<Note>, mut out: impl Write, quiet: bool) {
    for note in notes {
        let line = match note {
            Note::Event(event) => serde_json::to_string(&event).unwrap_or_default(),
            Note::Past(_) => continue,
            Note::Line { .. } if quiet => continue,
            Note::Line { step, text } => json!({"event": "line", "step": step, "text": text}).to_string(),
        };
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
