//! The only module that writes to stdout and stderr.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use crate::data::Reporter;
use crate::diagnostic::visible::{painted, sanitize, visible, visible_lines};
use crate::diagnostic::{Diagnostics, Finding, Severity, Sources, render};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::report::progress::{Moving, Way, Working};
use crate::report::style::{Paint, for_locale};
use crate::transfer::progress::Progress;
use std::any::Any;

/// Writes for people and scripts. Output to a closed pipe is dropped.
pub(super) struct Printer {
    stdout_colour: bool,
    stderr_colour: bool,
    terminal: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_none_or(|v| v == "dumb");
        let terminal = std::io::stdout().is_terminal();
        Self {
            stdout_colour: terminal && !plain,
            stderr_colour: std::io::stderr().is_terminal() && !plain,
            terminal: terminal && std::env::var_os("TERM").is_some_and(|v| v != "dumb"),
        }
    }

    /// Whether stdout is a terminal that can redraw lines.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The width of the terminal, if stdout is one.
    pub(super) fn width(&self) -> Option<usize> {
        let (width, _) = self.terminal.then(terminal_size::terminal_size)??;
        Some(usize::from(width.0))
    }

    /// The width of tables: that of the terminal, or else `COLUMNS`, or else 80.
    pub(super) fn columns(&self) -> usize {
        let said = || std::env::var("COLUMNS").ok()?.parse().ok();
        self.width().or_else(said).filter(|width| *width > 0).unwrap_or(80)
    }

    /// Whether a user can answer questions. A CI build may have a terminal, but no user.
    pub(super) fn can_ask(&self) -> bool {
        let is_build = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
        std::io::stdin().is_terminal() && !is_build
    }

    /// Asks a yes-or-no question. Any answer but yes means no.
    pub(super) fn ask(&self, question: &str) -> bool {
        self.out(question);
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer).is_ok();
        read && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// The colours for stdout.
    pub(super) fn paint(&self) -> Paint {
        Paint { colour: self.stdout_colour }
    }

    /// The stdout stream, for views of a run.
    pub(super) fn stream(&self) -> impl std::io::Write + Send + 'static {
        ViewStream { to: std::io::stdout(), guarded: std::io::stdout().is_terminal() }
    }

    /// The stderr stream, for views of a run.
    pub(super) fn side_stream(&self) -> impl std::io::Write + Send + 'static {
        ViewStream { to: std::io::stderr(), guarded: std::io::stderr().is_terminal() }
    }

    /// Writes text for people to stdout. It may contain untrusted text, so control characters are replaced.
    pub(super) fn out(&self, text: &str) {
        self.write(&for_locale(&visible_lines(text)));
    }

    /// Writes text with our own colours to stdout.
    pub(super) fn painted(&self, text: &str) {
        self.write(&for_locale(&if self.stdout_colour { painted(text) } else { visible_lines(text) }));
    }

    /// Writes text for programs to stdout. It is unchanged unless stdout is a terminal.
    pub(super) fn data(&self, text: &str) {
        self.write(&if std::io::stdout().is_terminal() { painted(text).into() } else { Cow::Borrowed(text) });
    }

    fn write(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Writes the output of a step to stdout. It is unchanged unless stdout is a terminal.
    pub(super) fn printed(&self, bytes: &[u8]) {
        if !std::io::stdout().is_terminal() {
            return self.bytes(bytes);
        }
        for line in String::from_utf8_lossy(bytes).lines() {
            // Of a line that was redrawn, only its last state, as in the views of a run.
            let text = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
            self.write(&format!("{}\n", sanitize(text)));
        }
    }

    /// Writes bytes to stdout.
    pub(super) fn bytes(&self, bytes: &[u8]) {
        let _ = std::io::stdout().lock().write_all(bytes);
    }

    /// Writes text for people to stderr.
    pub(super) fn err(&self, text: &str) {
        self.complain(&visible_lines(text));
    }

    fn complain(&self, text: &str) {
        let _ = std::io::stderr().lock().write_all(for_locale(text).as_bytes());
    }

    /// Shows the progress of transfers on stderr until the returned value is dropped.
    pub(super) fn moving(&self, progress: Arc<Progress>) -> Moving {
        let way = move || {
            let now = progress.figures();
            Way {
                bytes: now.bytes,
                done: now.moved_bytes + now.skipped_bytes,
                files: now.files,
                files_done: now.moved_files + now.skipped_files,
                trouble: progress.trouble().map(|trouble| visible(&trouble)),
            }
        };
        let line = |text: &str| drop(std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
        Moving::draw(way, std::io::stderr().is_terminal(), line)
    }

    /// Shows on stderr that something is being done, until the returned value is dropped.
    pub(super) fn working(&self) -> Working {
        Working::begin(std::io::stderr().is_terminal())
    }

    /// Shows diagnostics on stderr.
    pub(super) fn diagnostics(&self, diagnostics: &Diagnostics, sources: &Sources) {
        self.complain(&render::render(diagnostics, sources, self.stderr_colour));
    }

    /// Shows one diagnostic on stderr.
    pub(super) fn finding(&self, finding: &Finding<'_>) {
        self.complain(&format!("{}\n", render::block(finding.diagnostic, finding.sources, self.stderr_colour)));
    }

    /// Prints once, after errors, which command explains a code.
    pub(super) fn more(&self, code: &str) {
        let paint = Paint { colour: self.stderr_colour };
        self.complain(&format!(
            "{}\n",
            paint.dim(&format!("for more information about an error: amlrun explain {code}"))
        ));
    }

    /// Shows an error in the command line, or the requested help.
    pub(super) fn command_line(&self, error: &clap::Error) {
        if !error.use_stderr() {
            return drop(error.print());
        }
        let text = error.render();
        let text =
            if self.stderr_colour { painted(&text.ansi().to_string()) } else { visible_lines(&text.to_string()) };
        self.complain(&text);
    }

    /// Shows why a command failed.
    pub(super) fn failed(&self, failed: &Failed) -> Exit {
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
                self.complain(&format!("{on}error{off}: {}\n", visible_lines(message)));
                if let Some(hint) = hint {
                    self.err(&format!("  help: {hint}\n"));
                }
                *exit
            }
        }
    }
}

/// A stream for views. If `guarded`, it passes on colours and replaces all other control sequences.
struct ViewStream<W> {
    to: W,
    guarded: bool,
}

impl<W: std::io::Write> std::io::Write for ViewStream<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.guarded {
            self.to.write_all(painted(&String::from_utf8_lossy(bytes)).as_bytes())?;
        } else {
            self.to.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

impl Reporter for Printer {
    fn diagnostics(&self, diagnostics: &Diagnostics, sources: &Sources) {
        Self::diagnostics(self, diagnostics, sources);
    }

    fn transfers(&self, progress: Arc<Progress>) -> Box<dyn Any> {
        Box::new(self.moving(progress))
    }
}

/// Prints the warnings of modules on stderr.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn && metadata.target().starts_with("amlrun")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            Printer::new().err(&format!("warning: {}\n", record.args()));
        }
    }

    fn flush(&self) {}
}

/// Starts to print the warnings of modules.
pub(super) fn print_warnings() {
    // This fails if there is another logger, which then receives the warnings.
    if log::set_logger(&Warnings).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}
