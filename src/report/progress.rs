//! The progress of transfers: a bar with rate and remaining time on a terminal, a line from time to time elsewhere.
//!
//! Errors that are retried are shown beside the bar. Where there is no bar, they are reported when they begin.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::ticker::Ticker;
use crate::diagnostic::visible::visible;
use crate::number::human_bytes;

/// The time between two updates.
const FRAME: Duration = Duration::from_millis(100);
/// The time between two lines where there is no bar.
const LINE: Duration = Duration::from_secs(10);

/// The progress, as far as it is shown.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// The size of all files.
    pub bytes: u64,
    /// The bytes that are transferred or were already there.
    pub done: u64,
    /// How many files there are.
    pub files: u64,
    /// How many of them are done.
    pub files_done: u64,
    /// The error that is being retried.
    pub trouble: Option<String>,
}

/// A view that draws until it is dropped.
pub struct Moving {
    ticker: Option<Ticker>,
    bar: Option<ProgressBar>,
}

impl Moving {
    /// Draws on stderr, with a bar if that is a terminal.
    pub fn draw(way: impl Fn() -> Way + Send + 'static, terminal: bool, line: impl Fn(&str) + Send + 'static) -> Self {
        let bar = terminal.then(bar);
        let (shown, mut lines) = (bar.clone(), Lines::new());
        let ticker = Ticker::every(FRAME, move || {
            let way = way();
            match &shown {
                Some(bar) => {
                    bar.set_length(way.bytes);
                    bar.set_position(way.done.min(way.bytes));
                    let files = format!("{}/{} files", way.files_done, way.files);
                    bar.set_message(way.trouble.as_deref().map_or(files, waiting));
                }
                None => lines.at(Instant::now(), &way).iter().for_each(|text| line(text)),
            }
        });
        Self { ticker: Some(ticker), bar }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        // Waits until nothing is drawn any more.
        self.ticker = None;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Work whose length is not known: a spinner with the last line that it printed, on a terminal; nothing elsewhere.
pub struct Working(Option<ProgressBar>);

impl Working {
    /// Begins to draw on stderr, if that is a terminal.
    #[must_use]
    pub fn begin(terminal: bool) -> Self {
        Self(terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
            let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(FRAME);
            bar
        }))
    }

    /// Shows what the work is doing.
    pub fn say(&self, line: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(visible(line));
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}";
    bar.with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The lines where there is no bar.
struct Lines {
    began: Instant,
    /// The time of the last line about progress.
    told: Instant,
    /// The time of the last line about an error.
    warned: Option<Instant>,
}

impl Lines {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, told: now, warned: None }
    }

    /// The lines to print now. Errors come and go with each of many requests, so only one of them is reported.
    fn at(&mut self, now: Instant, way: &Way) -> Vec<String> {
        let mut lines = Vec::new();
        // Before anything is known there is nothing to report.
        if now.duration_since(self.told) >= LINE && way.files > 0 {
            self.told = now;
            lines.push(sentence(way, now.duration_since(self.began)));
        }
        if let Some(why) = &way.trouble
            && self.warned.is_none_or(|warned| now.duration_since(warned) >= LINE)
        {
            self.warned = Some(now);
            lines.push(waiting(why));
        }
        lines
    }
}

fn waiting(why: &str) -> String {
    format!("{why}; retrying")
}

fn sentence(way: &Way, took: Duration) -> String {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let rate = (way.done as f64 / took.as_secs_f64()) as u64;
    let rest =
        way.bytes.saturating_sub(way.done).checked_div(rate).map_or_else(|| "?".to_owned(), |s| format!("{s} s"));
    format!(
        "{}/{} files, {} of {}, {}/s, {rest} left",
        way.files_done,
        way.files,
        human_bytes(way.done),
        human_bytes(way.bytes),
        human_bytes(rate)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_shown_for_people() {
        let way = Way { bytes: 10_000, done: 5_000, files: 4, files_done: 2, trouble: None };
        let told = sentence(&way, Duration::from_secs(5));
        assert_eq!(told, "2/4 files, 5.0 kB of 10.0 kB, 1.0 kB/s, 5 s left");
    }
    #[test]
    fn trouble_is_told_when_it_begins_and_not_with_every_request() {
        let (mut lines, way) = (Lines::new(), Way::default());
        let bad = Way { files: 1, trouble: Some("x: HTTP 503".into()), ..Way::default() };
        let mut at = |seconds, way: &Way| lines.at(lines.began + Duration::from_secs(seconds), way);
        assert_eq!(at(1, &bad), ["x: HTTP 503; retrying"]);
        assert!(at(2, &bad).is_empty() && at(3, &way).is_empty() && at(4, &bad).is_empty());
        assert_eq!(at(12, &bad).len(), 2);
    }
}
