//! The only door to stdout and stderr.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use super::error::Failed;
use super::exit::Exit;
use crate::diagnostic::{Diagnostics, Finding, Severity, Sources, render};
use crate::report::moving::{Moving, Way};
use crate::report::style::Paint;
use crate::transfer::progress::Progress;

/// Writes for a person or a script. What cannot be written, because the reader is gone, is dropped.
pub(super) struct Printer {
    stdout_colour: bool,
    stderr_colour: bool,
    terminal: bool,
}

impl Printer {
    pub fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_none_or(|v| v == "dumb");
        let terminal = std::io::stdout().is_terminal();
        Self {
            stdout_colour: terminal && !plain,
            stderr_colour: std::io::stderr().is_terminal() && !plain,
            terminal: terminal && std::env::var_os("TERM").is_some_and(|v| v != "dumb"),
        }
    }

    /// Whether a person watches stdout on a terminal that can redraw.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The columns of the terminal, if stdout is one.
    pub fn width(&self) -> Option<usize> {
        let (width, _) = self.terminal.then(terminal_size::terminal_size)??;
        Some(usize::from(width.0))
    }

    /// Whether there is somebody to ask.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal()
    }

    /// Asks a question that is answered with yes or no; no is anything but yes.
    pub fn ask(&self, question: &str) -> bool {
        self.out(question);
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer).is_ok();
        read && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// Colours for stdout.
    pub fn paint(&self) -> Paint {
        Paint { colour: self.stdout_colour }
    }

    /// The stream for views of a run.
    pub fn stream(&self) -> impl std::io::Write + Send + 'static {
        std::io::stdout()
    }

    /// Writes to stdout.
    pub fn out(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Writes bytes to stdout.
    pub fn bytes(&self, bytes: &[u8]) {
        let _ = std::io::stdout().lock().write_all(bytes);
    }

    /// Writes to stderr.
    pub fn err(&self, text: &str) {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Shows on stderr how far bytes are, until what it gives is dropped.
    pub fn moving(&self, progress: Arc<Progress>) -> Moving {
        let way = move || {
            let now = progress.figures();
            Way {
                bytes: now.bytes,
                done: now.moved_bytes + now.skipped_bytes,
                files: now.files,
                files_done: now.moved_files + now.skipped_files,
                trouble: progress.trouble(),
            }
        };
        let line = |text: &str| drop(std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
        Moving::draw(way, std::io::stderr().is_terminal(), line)
    }

    /// Shows findings on stderr.
    pub fn diagnostics(&self, diagnostics: &Diagnostics, sources: &Sources) {
        self.err(&render::render(diagnostics, sources, self.stderr_colour));
    }

    /// Shows one finding on stderr.
    pub fn finding(&self, finding: &Finding<'_>) {
        self.err(&format!("{}\n", render::block(finding.diagnostic, finding.sources, self.stderr_colour)));
    }

    /// Tells once, after errors, where to read more about a code.
    pub fn more(&self, code: &str) {
        let paint = Paint { colour: self.stderr_colour };
        self.err(&format!("{}\n", paint.dim(&format!("more about an error: amlrun explain {code}"))));
    }

    /// Shows why a command failed.
    pub fn failed(&self, failed: &Failed) -> Exit {
        match failed {
            Failed::Refused { diagnostics, sources, exit } => {
                self.diagnostics(diagnostics, sources);
                if let Some(error) = diagnostics.sorted().iter().find(|d| d.severity == Severity::Error) {
                    self.more(error.code);
                }
                *exit
            }
            Failed::Message { message, hint, exit } => {
                let (on, off) = if self.stderr_colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
                self.err(&format!("{on}error{off}: {message}\n"));
                if let Some(hint) = hint {
                    self.err(&format!("  help: {hint}\n"));
                }
                *exit
            }
        }
    }
}
