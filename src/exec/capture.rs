//! Captures what a process prints: the bytes go into its log, every line goes to the views. Memory use is bounded.

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::log::Log;
use super::mask::Masked;
use super::{LineSink, Shown};

/// A longer line is shown in pieces, so that output without line breaks cannot fill the memory.
const LONGEST_LINE: usize = 4 * 1024;
/// Most steps print little or nothing. A process that fills the small buffer gets the large one.
const SMALL: usize = 2 * 1024;
const LARGE: usize = 64 * 1024;

/// The shortest time between two reports of a progress bar.
const FRAME: Duration = Duration::from_millis(100);

/// What was found while reading.
#[derive(Debug, Default)]
pub(super) struct Printed {
    /// The last command that the shell could not find.
    pub not_found: Option<String>,
    /// Errors with the log.
    pub warnings: Vec<String>,
}

/// Reads until the writing end is closed. A full disk stops the log, not the command: lines still reach the sink.
pub(super) async fn copy(mut from: impl AsyncRead + Unpin, mut log: Log, mut mask: Masked, shown: LineSink) -> Printed {
    let lines = |text: String| shown(Shown::Line(text));
    let mut told: Option<Instant> = None;
    let mut buffer = vec![0; SMALL];
    let mut split = Splitter::default();
    let mut warnings = Vec::new();
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let seen = mask.feed(&buffer[..read]);
        let trouble = log.write(&seen);
        split.feed(&seen, &lines);
        if told.is_none_or(|then| then.elapsed() >= FRAME)
            && let Some(state) = split.redrawn()
        {
            told = Some(Instant::now());
            shown(Shown::Progress(state));
        }
        if let Some(trouble) = trouble {
            lines(format!("[amlrun: {trouble}]"));
            warnings.push(trouble);
        }
        if read == SMALL {
            buffer.resize(LARGE, 0);
        }
        // A step that never stops printing must not keep the runner from handling a request to stop.
        tokio::task::yield_now().await;
    }
    let rest = mask.finish();
    warnings.extend(log.write(&rest));
    split.feed(&rest, &lines);
    split.finish(&lines);
    log.finish();
    Printed { not_found: split.not_found, warnings }
}

/// Splits bytes into lines. A carriage return alone redraws a line on a terminal (progress bars): only its last state
/// is passed on.
#[derive(Default)]
struct Splitter {
    pending: Vec<u8>,
    not_found: Option<String>,
}

impl Splitter {
    fn feed(&mut self, bytes: &[u8], lines: &(dyn Fn(String) + Send + Sync)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (line, mut after) = (rest, rest);
            // Reading bytes in memory cannot fail.
            let length = after.skip_until(b'\n').unwrap_or(rest.len());
            rest = after;
            let mut line = &line[..length];
            while !line.is_empty() {
                let room = LONGEST_LINE + 1 - self.pending.len();
                let (piece, after) = line.split_at(room.min(line.len()));
                self.pending.extend_from_slice(piece);
                line = after;
                if !self.pending.ends_with(b"\n") && self.pending.len() > LONGEST_LINE {
                    self.forget_earlier_states();
                }
                if self.pending.ends_with(b"\n") || self.pending.len() > LONGEST_LINE {
                    self.emit(lines);
                }
            }
        }
    }

    /// Drops the earlier states of a line that is redrawn again and again.
    fn forget_earlier_states(&mut self) {
        let drawn = self.pending.strip_suffix(b"\r").unwrap_or(&self.pending);
        if let Some(at) = drawn.iter().rposition(|byte| *byte == b'\r') {
            self.pending.drain(..=at);
        }
    }

    /// The current state of the line that is being redrawn, if there is one.
    fn redrawn(&self) -> Option<String> {
        let drawn = self.pending.strip_suffix(b"\r").unwrap_or(&self.pending);
        let state = drawn.rsplit(|byte| *byte == b'\r').next().filter(|state| state.len() < self.pending.len())?;
        let text = String::from_utf8_lossy(state).replace('\0', "\u{fffd}");
        (!text.trim().is_empty()).then_some(text)
    }

    fn finish(&mut self, lines: &(dyn Fn(String) + Send + Sync)) {
        if !self.pending.is_empty() {
            self.emit(lines);
        }
    }

    fn emit(&mut self, lines: &(dyn Fn(String) + Send + Sync)) {
        // A character that the limit split waits for its other half.
        let half = if self.pending.len() > LONGEST_LINE { unfinished(&self.pending) } else { 0 };
        let half = self.pending.split_off(self.pending.len() - half);
        let text = String::from_utf8_lossy(&self.pending);
        let text = text.trim_end_matches(['\n', '\r']);
        let shown = text.rsplit('\r').next().unwrap_or("");
        if let Some(command) = not_found(shown) {
            self.not_found = Some(command);
        }
        // Many programs that read the line treat NUL as its end.
        lines(if shown.contains('\0') { shown.replace('\0', "\u{fffd}") } else { shown.to_owned() });
        self.pending = half;
    }
}

/// How many bytes at the end are an incomplete character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3);
    match bytes[last..].iter().rposition(|b| *b >= 0xc0) {
        Some(lead) => {
            let (lead, there) = (bytes[last + lead], bytes.len() - last - lead);
            let whole = if lead >= 0xf0 {
                4
            } else if lead >= 0xe0 {
                3
            } else {
                2
            };
            if there < whole { there } else { 0 }
        }
        None => 0,
    }
}

/// The command in bash's `bash: line 1: train: command not found` or `…: ./train.sh: No such file or directory`.
fn not_found(line: &str) -> Option<String> {
    let before =
        line.strip_suffix(": command not found").or_else(|| line.strip_suffix(": No such file or directory"))?;
    let (place, command) = before.rsplit_once(": ")?;
    (place.contains(": line ") && !command.is_empty()).then(|| command.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let seen = Mutex::new(Vec::new());
        let sink = |line: String| seen.lock().unwrap().push(line);
        let mut splitter = Splitter::default();
        // The sink borrows `seen`, which outlives both calls.
        let shared: &(dyn Fn(String) + Send + Sync) = &sink;
        chunks.iter().for_each(|chunk| splitter.feed(chunk, shared));
        splitter.finish(shared);
        seen.into_inner().unwrap()
    }

    #[test]
    fn lines_are_cut_wherever_the_reads_fall() {
        assert_eq!(split(&[b"ab", b"c\nd", b"\r\n", b"e"]), ["abc", "d", "e"]);
        assert_eq!(split(&["grü".as_bytes(), "n\n".as_bytes()]), ["grün"]);
    }

    #[test]
    fn of_a_redrawn_line_the_last_state_counts() {
        assert_eq!(split(&[b"10%\r50%\r100%\n"]), ["100%"]);
    }

    #[test]
    fn a_line_that_is_redrawn_is_told_before_it_ends() {
        let mut splitter = Splitter::default();
        let lines: &(dyn Fn(String) + Send + Sync) = &|line| panic!("no line ended: {line}");
        splitter.feed(b"10%", lines);
        assert_eq!(splitter.redrawn(), None, "it may be the beginning of a line");
        splitter.feed(b"\r20%", lines);
        assert_eq!(splitter.redrawn().as_deref(), Some("20%"));
        splitter.feed(b"\r30%\r", lines);
        assert_eq!(splitter.redrawn().as_deref(), Some("30%"));
        splitter.feed("40% of many\r".repeat(1000).as_bytes(), lines);
        assert_eq!(splitter.redrawn().as_deref(), Some("40% of many"));
    }

    #[test]
    fn endless_lines_do_not_fill_the_memory_nor_lose_a_character() {
        let text = "ü€𝄞".repeat(10_000);
        let lines = split(&[text.as_bytes()]);
        assert!(lines.iter().all(|l| l.len() <= LONGEST_LINE + 1));
        assert_eq!(lines.concat(), text);
    }

    #[test]
    fn bytes_that_are_no_text_are_harmless() {
        assert_eq!(split(&[b"a\0b\xff\n"]), ["a\u{fffd}b\u{fffd}"]);
        let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert!(split(&[&noise]).iter().all(|l| l.len() < 4 * LONGEST_LINE && !l.contains('\0')));
    }

    #[test]
    fn the_shell_says_which_command_it_did_not_find() {
        assert_eq!(not_found("bash: line 1: train: command not found").as_deref(), Some("train"));
        assert_eq!(not_found("bash: line 2: ./a b.sh: No such file or directory").as_deref(), Some("./a b.sh"));
        assert_eq!(not_found("my: own: command not found"), None);
    }
}
