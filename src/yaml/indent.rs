//! Lines that PyYAML takes at any indentation, and YAML 1.2 does not: those inside quotes and inside brackets.
//!
//! The scanner that is used here knows YAML 1.2. Where it stops at such a line, spaces are put before the line, which
//! change nothing in what it says, and the text is read again. [`Indented`] remembers them, so that places stay those of
//! the author's text.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Marker, ScanError};

/// So many bytes may be read again for one document: hostile text must not take minutes.
const AGAIN: usize = 16 << 20;

/// No more lines of one quoted scalar are indented.
const MOST_LINES: usize = 100_000;

/// A text with spaces before some of its lines.
pub(super) struct Indented<'a> {
    written: &'a str,
    /// The text as the scanner gets it.
    pub text: Cow<'a, str>,
    /// How many spaces were put before a line, counted from 1.
    spaces: HashMap<usize, usize>,
    read_again: usize,
}

impl<'a> Indented<'a> {
    pub fn of(written: &'a str) -> Self {
        Self { written, text: Cow::Borrowed(written), spaces: HashMap::new(), read_again: 0 }
    }

    /// The column in the author's text, from 0.
    pub fn column(&self, line: usize, column: usize) -> usize {
        column.saturating_sub(self.spaces.get(&line).copied().unwrap_or(0))
    }

    /// Indents what the scanner stopped at. `false` when that is not about indentation, or PyYAML stops there as well.
    pub fn deepen(&mut self, error: &ScanError) -> bool {
        self.read_again += self.text.len();
        let deeper = match error.info() {
            // A lone carriage return ends a line for the scanner, and not for what follows here.
            _ if self.read_again > AGAIN || self.written.replace("\r\n", "").contains('\r') => false,
            "invalid indentation in quoted scalar" => self.quoted(*error.marker()),
            "invalid indentation" | "invalid indentation in flow construct" | "tab cannot be used as indentation" => {
                let spaces = self.spaces.entry(error.marker().line()).or_default();
                *spaces = (*spaces * 2).max(16);
                true
            }
            _ => false,
        };
        if deeper {
            let mut text = String::with_capacity(self.text.len());
            for (index, line) in self.written.split_inclusive('\n').enumerate() {
                text.extend(std::iter::repeat_n(' ', self.spaces.get(&(index + 1)).copied().unwrap_or(0)));
                text.push_str(line);
            }
            self.text = Cow::Owned(text);
        }
        deeper
    }

    /// Indents the further lines of the quoted scalar that starts at a place.
    fn quoted(&mut self, start: Marker) -> bool {
        let column = self.column(start.line(), start.col());
        let mut lines = self.written.split_inclusive('\n').skip(start.line() - 1);
        let first: String = lines.next().unwrap_or_default().chars().skip(column).collect();
        let Some(quote) = first.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return false };
        let mut is_open = Quoted { quote, is_escaped: false };
        let mut ends = is_open.ends_in(&first[1..]);
        for (index, line) in lines.enumerate() {
            if ends {
                break;
            }
            if index > MOST_LINES || index * start.col() > AGAIN {
                return false;
            }
            // PyYAML ends a document there.
            let after = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
            if after.is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t'])) {
                return false;
            }
            self.spaces.insert(start.line() + 1 + index, start.col() + 1);
            ends = is_open.ends_in(line);
        }
        true
    }
}

/// Looks for the end of a quoted scalar, line by line.
struct Quoted {
    quote: char,
    is_escaped: bool,
}

impl Quoted {
    fn ends_in(&mut self, line: &str) -> bool {
        let mut rest = line.chars().peekable();
        while let Some(c) = rest.next() {
            if std::mem::take(&mut self.is_escaped) {
                continue;
            }
            if c == '\\' && self.quote == '"' {
                self.is_escaped = true;
            } else if c == self.quote {
                if self.quote == '\'' && rest.next_if_eq(&'\'').is_some() {
                    continue;
                }
                return true;
            }
        }
        false
    }
}
