//! Bytes on their way: a bar with rate and rest time on a terminal, a line now and then elsewhere.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn anew.
const FRAME: Duration = Duration::from_millis(100);
/// How often a line is written where nobody sees a bar.
const LINE: Duration = Duration::from_secs(10);

/// How far it is, as far as that is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// The bytes of all files.
    pub bytes: u64,
    /// Those that are moved or need not be.
    pub done: u64,
    /// How many files there are.
    pub files: u64,
    /// How many of them are where they should be.
    pub files_done: u64,
}

/// A view that is drawn until it is dropped.
pub struct Moving {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Moving {
    /// Draws on stderr, with a bar when that is a terminal.
    pub fn draw(way: impl Fn() -> Way + Send + 'static, terminal: bool, line: impl Fn(&str) + Send + 'static) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("moving".to_owned()).spawn(move || {
            let began = Instant::now();
            let bar = terminal.then(bar);
            // Ends when the other side is dropped.
            while ended.recv_timeout(if terminal { FRAME } else { LINE })
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                let way = way();
                match &bar {
                    Some(bar) => {
                        bar.set_length(way.bytes);
                        bar.set_position(way.done.min(way.bytes));
                        bar.set_message(format!("{}/{} files", way.files_done, way.files));
                    }
                    None => line(&sentence(way, began.elapsed())),
                }
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        });
        Self { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} rest {eta} {msg}";
    bar.with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn sentence(way: Way, took: Duration) -> String {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let rate = (way.done as f64 / took.as_secs_f64()) as u64;
    let rest =
        way.bytes.saturating_sub(way.done).checked_div(rate).map_or_else(|| "?".to_owned(), |s| format!("{s} s"));
    format!(
        "{}/{} files, {} of {}, {}/s, rest {rest}",
        way.files_done,
        way.files,
        human_bytes(way.done),
        human_bytes(way.bytes),
        human_bytes(rate)
    )
}

/// A number of bytes for people: `512 B`, `3.4 MB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut number = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if number < 1000.0 {
            break;
        }
        number /= 1000.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{number:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_are_told_for_people() {
        assert_eq!([0, 999, 1000, 3_400_000].map(human_bytes), ["0 B", "999 B", "1.0 kB", "3.4 MB"]);
        let way = Way { bytes: 10_000, done: 5_000, files: 4, files_done: 2 };
        let told = sentence(way, Duration::from_secs(5));
        assert_eq!(told, "2/4 files, 5.0 kB of 10.0 kB, 1.0 kB/s, rest 5 s");
    }
}
