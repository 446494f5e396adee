//! A run as JSON lines: the events exactly as recorded, and between them the output of steps, `{"event":"line",…}`,
//! and the progress of their data, `{"event":"moving",…}`.

use std::io::Write;
use std::sync::mpsc::Receiver;

use serde_json::json;

use crate::event::Note;

/// Draws until the notes end. With `quiet`, the output of steps is left out.
pub fn draw(notes: Receiver<Note>, mut out: impl Write, quiet: bool) {
    for note in notes {
        let line = match note {
            Note::Event(event) => serde_json::to_string(&event).unwrap_or_default(),
            Note::Past(_) | Note::Progress { .. } => continue,
            Note::Line { .. } if quiet => continue,
            Note::Moving(moving) => {
                let mut line = json!({"event": "moving"});
                if let (Some(line), Ok(serde_json::Value::Object(more))) =
                    (line.as_object_mut(), serde_json::to_value(&moving))
                {
                    line.extend(more);
                }
                line.to_string()
            }
            Note::Line { step, text } => json!({"event": "line", "step": step, "text": text}).to_string(),
        };
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
