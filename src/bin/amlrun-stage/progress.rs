//! Everything that a stage prints: a progress bar on a terminal, or else plain lines, which the runner prefixes with
//! the step's name.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// How many lines are printed for a whole training without a terminal.
const LINES: u64 = 20;

/// Prints a line to standard output.
pub fn say(text: impl Display) {
    // A closed pipe must not stop training.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a warning.
pub fn warn(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// Prints why the stage failed.
pub fn error(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// The progress of training.
pub struct Epochs {
    bar: Option<ProgressBar>,
    first: u64,
    last: u64,
}

impl Epochs {
    /// Training from epoch `first` to epoch `last`, inclusive.
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

    /// Reports a finished epoch: `short` is for the bar, `text` for a separate line.
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

    /// Prints a warning without breaking the bar.
    pub fn warn(&self, text: impl Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| warn(text)),
            None => warn(text),
        }
    }

    /// Ends the progress, and removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
