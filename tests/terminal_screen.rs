//! A terminal of a fixed size with a command on it: what a person sees there at a moment.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZero;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::PATIENCE;

/// The rows of the terminal. Its columns are chosen by the test.
const ROWS: u16 = 40;

/// A command on its terminal.
pub struct TerminalScreen {
    child: Child,
    master: File,
    parser: vt100::Parser,
}

impl TerminalScreen {
    /// Starts a command on a terminal with that many columns.
    pub fn start(mut command: Command, columns: u16) -> Self {
        let size = nix::pty::Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = nix::pty::openpty(Some(&size), None).unwrap();
        // Nobody is there to answer a question.
        command.env("TERM", "xterm").env("CI", "true").stdin(Stdio::null());
        command.stdout(terminal.slave.try_clone().unwrap()).stderr(terminal.slave);
        let child = command.spawn().unwrap();
        let [rows, columns] = [ROWS, columns].map(|count| NonZero::new(count).unwrap());
        let parser = vt100::Parser::new(rows, columns, 0);
        Self { child, master: File::from(terminal.master), parser }
    }

    /// Reads what the command draws until the screen is as expected, and returns the screen.
    pub fn until(&mut self, is_so: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        // A clock or a spinner on it goes on for ever.
        while began.elapsed() < PATIENCE && self.draw() {
            let shown = self.shown();
            if is_so(&shown) {
                return shown;
            }
        }
        self.child.kill().unwrap();
        panic!("this came instead:\n{}", self.shown());
    }

    /// The screen at the end of the command, and its exit code.
    pub fn end(mut self) -> (String, i32) {
        while self.draw() {}
        (self.shown(), self.child.wait().unwrap().code().unwrap())
    }

    /// Draws what comes next. False at the end.
    fn draw(&mut self) -> bool {
        let mut some = [0; 4096];
        // At the end, Linux reports an error.
        let read = self.master.read(&mut some).unwrap_or(0);
        self.parser.process(&some[..read]);
        read > 0
    }

    fn shown(&self) -> String {
        // Row by row: a progress display fills rows with spaces, which the whole text would join.
        let (_, columns) = self.parser.screen().size();
        let rows: Vec<String> =
            self.parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned() + "\n"
    }
}
