//! What a command prints: every byte into its log, every line to whoever watches.

use std::io::Write as _;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::LineSink;

/// A line longer than this is shown in pieces, so that output without line breaks cannot fill the memory.
const LONGEST_LINE: usize = 16 * 1024;

/// Reads until the writing end is closed. A full disk stops the log, not the command: lines still reach the watcher.
pub(super) async fn copy(mut from: impl AsyncRead + Unpin, mut log: std::fs::File, lines: LineSink) {
    let mut buffer = vec![0; 64 * 1024];
    let mut split = Splitter::default();
    let mut log_works = true;
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        if log_works && let Err(error) = log.write_all(&buffer[..read]) {
            log_works = false;
            lines(format!("[amlrun: this log cannot be written any more: {error}]"));
        }
        split.feed(&buffer[..read], &*lines);
    }
    split.finish(&*lines);
}

/// Cuts bytes into lines. A carriage return alone redraws a line on a terminal (progress bars): only what stands at
/// the end is passed on.
#[derive(Default)]
struct Splitter {
    pending: Vec<u8>,
}

impl Splitter {
    fn feed(&mut self, bytes: &[u8], lines: &(dyn Fn(String) + Send + Sync)) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.pending.len() > LONGEST_LINE {
                self.emit(lines);
            }
        }
    }

    fn finish(&mut self, lines: &(dyn Fn(String) + Send + Sync)) {
        if !self.pending.is_empty() {
            self.emit(lines);
        }
    }

    fn emit(&mut self, lines: &(dyn Fn(String) + Send + Sync)) {
        let text = String::from_utf8_lossy(&self.pending);
        let text = text.trim_end_matches(['\n', '\r']);
        lines(text.rsplit('\r').next().unwrap_or("").to_owned());
        self.pending.clear();
    }
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
    fn endless_lines_do_not_fill_the_memory() {
        let lines = split(&[&[b'x'; 50_000]]);
        assert!(!lines.is_empty() && lines.iter().map(String::len).sum::<usize>() == 50_000);
    }
}
