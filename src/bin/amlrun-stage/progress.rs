//! All that a stage prints. A bar on a terminal; plain lines elsewhere, which a runner prefixes with the step's name.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// How many lines a whole training prints when there is no terminal.
const LINES: u64 = 20;

/// A line of the stage's own report, to standard output.
pub fn say(text: impl Display) {
    // A closed pipe is no reason to lose a training.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Something that went wrong and does not matter enough to stop.
pub fn warn(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// Why the stage failed.
pub fn error(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// The progress of a training.
pub struct Epochs {
    bar: Option<ProgressBar>,
    first: u64,
    last: u64,
}

impl Epochs {
    /// A training from epoch `first` to epoch `last`, both included.
    pub fn new(first: u64, last: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:14.cyan/dim} {pos:>4}/{len}  {wide_msg} {eta:>4} left");
            let bar = ProgressBar::new(last).with_position(first.saturating_sub(1));
            match style {
                Ok(style) => bar.with_style(style.progress_chars("━╸─")),
                Err(_) => bar,
            }
        });
        Self { bar, first, last }
    }

    /// One epoch is done: `short` is for the bar, `text` for a line of its own.
    pub fn done(&self, epoch: u64, text: &str, short: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(epoch);
            bar.set_message(short.to_owned());
            return;
        }
        let every = (self.last.div_ceil(LINES)).max(1);
        if epoch.is_multiple_of(every) || epoch == self.first || epoch == self.last {
            say(format!("epoch {epoch:>width$}/{}  {text}", self.last, width = self.last.to_string().len()));
        }
    }

    /// A warning that does not tear the bar.
    pub fn warn(&self, text: impl Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| warn(text)),
            None => warn(text),
        }
    }

    /// The training is over; the bar goes away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
