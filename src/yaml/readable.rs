//! What PyYAML reads and YAML 1.2 does not: lines inside quotes and brackets at any indentation, lines that end in other
//! characters, and a comment right behind a quote or bracket.
//!
//! The scanner that is used here knows YAML 1.2. Where it stops at such a place, spaces are put before it, which change
//! nothing in what the text says, and the text is read again. [`Readable`] remembers them, so that places stay those of
//! the author's text.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Marker, ScalarStyle, ScanError};

use super::lines::Lines;

/// So many bytes may be read again for one document: hostile text must not take minutes.
const AGAIN: usize = 16 << 20;

/// No more lines of one quoted scalar are indented.
const MOST_LINES: usize = 100_000;

/// A text with spaces before some of its lines and comments.
pub(super) struct Readable<'a> {
    lines: Lines<'a>,
    /// The text as the scanner gets it; `None`: as its lines are.
    spaced: Option<String>,
    /// How many spaces were put before a line, counted from 1.
    spaces: HashMap<usize, usize>,
    /// The column of a comment that a space was put before, by line.
    comments: HashMap<usize, usize>,
    read_again: usize,
}

impl<'a> Readable<'a> {
    pub(super) fn of(written: &'a str) -> Self {
        let (spaces, comments) = (HashMap::new(), HashMap::new());
        Self { lines: Lines::of(written), spaced: None, spaces, comments, read_again: 0 }
    }

    /// The text as the scanner gets it.
    pub(super) fn text(&self) -> &str {
        self.spaced.as_deref().unwrap_or(&self.lines.text)
    }

    /// The line, from 1, and the column, from 0, in the author's text.
    pub(super) fn place(&self, marker: Marker) -> (usize, usize) {
        self.lines.place(marker.line().max(1), self.column(marker))
    }

    /// The first character other than a line feed that ends a line, and its line.
    pub(super) fn unusual_break(&self) -> Option<(char, usize)> {
        self.lines.unusual()
    }

    /// What PyYAML reads of a scalar; `None` where that is not known.
    pub(super) fn value<'v>(
        &self,
        style: ScalarStyle,
        at: saphyr_parser::Span,
        value: Cow<'v, str>,
    ) -> Option<Cow<'v, str>> {
        let place = |marker: Marker| (marker.line(), self.column(marker));
        self.lines.value(style, place(at.start), place(at.end), value)
    }

    /// The column in the text without spaces.
    fn column(&self, marker: Marker) -> usize {
        if self.spaced.is_none() {
            return marker.col();
        }
        let column = marker.col().saturating_sub(self.spaces.get(&marker.line()).copied().unwrap_or(0));
        let is_behind = self.comments.get(&marker.line()).is_some_and(|comment| column > *comment);
        column - usize::from(is_behind)
    }

    /// Puts spaces where the scanner stopped. `false` when that does not help, or PyYAML stops there as well.
    pub(super) fn space(&mut self, error: &ScanError) -> bool {
        self.read_again += self.text().len();
        let spaced = match error.info() {
            // A lone carriage return ends a line for the scanner, and not for what follows here.
            _ if self.read_again > AGAIN || self.lines.text.replace("\r\n", "").contains('\r') => false,
            "comments must be separated from other tokens by whitespace" => self.comment(*error.marker()),
            "invalid indentation in quoted scalar" => self.quoted(*error.marker()),
            "invalid indentation" | "invalid indentation in flow construct" | "tab cannot be used as indentation" => {
                let spaces = self.spaces.entry(error.marker().line()).or_default();
                *spaces = (*spaces * 2).max(16);
                true
            }
            _ => false,
        };
        if spaced {
            let mut text = String::with_capacity(self.text().len());
            for (index, line) in self.lines.text.split_inclusive('\n').enumerate() {
                text.extend(std::iter::repeat_n(' ', self.spaces.get(&(index + 1)).copied().unwrap_or(0)));
                match self.comments.get(&(index + 1)).and_then(|column| line.char_indices().nth(*column)) {
                    Some((at, _)) => text.extend([&line[..at], " ", &line[at..]]),
                    None => text.push_str(line),
                }
            }
            self.spaced = Some(text);
        }
        spaced
    }

    /// Puts a space before a comment, unless it is behind something that PyYAML wants a space after.
    fn comment(&mut self, at: Marker) -> bool {
        let column = self.column(at);
        let line = self.lines.text.split('\n').nth(at.line().saturating_sub(1)).unwrap_or_default();
        let before = column.checked_sub(1).and_then(|before| line.chars().nth(before));
        let is_end = before.is_some_and(|c| matches!(c, '"' | '\'' | '[' | ']' | '{' | '}' | ',' | ':'));
        is_end && self.comments.insert(at.line(), column).is_none()
    }

    /// Indents the further lines of the quoted scalar that starts at a place.
    fn quoted(&mut self, start: Marker) -> bool {
        let column = self.column(start);
        let mut lines = self.lines.text.split_inclusive('\n').skip(start.line() - 1);
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
