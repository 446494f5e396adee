//! Lines as PyYAML counts them: U+0085 (next line), U+2028 and U+2029 (line and paragraph separator) end one as well.
//!
//! YAML 1.2, and the scanner that is used here, take them for ordinary characters. The scanner gets a line feed for each
//! of them, and [`Lines`] knows where its lines are in the author's text, whose lines end where those of an editor do.
//! PyYAML folds U+0085 as it folds a line feed, and keeps the separators.

use std::borrow::Cow;

use saphyr_parser::ScalarStyle;

const NEXT_LINE: char = '\u{85}';
const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];
const BREAKS: [char; 4] = ['\n', NEXT_LINE, SEPARATORS[0], SEPARATORS[1]];

/// A text in lines.
pub(super) struct Lines<'a> {
    written: &'a str,
    /// The text with line feeds only.
    pub text: Cow<'a, str>,
    /// Where each line starts; empty when its lines are those of an editor.
    starts: Vec<Start>,
    has_separators: bool,
}

/// Where a line starts in the author's text: the byte, the line from 1, the column from 0.
struct Start {
    byte: usize,
    line: usize,
    column: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn of(written: &'a str) -> Self {
        if written.is_ascii() || !written.contains(&BREAKS[1..]) {
            return Self { written, text: Cow::Borrowed(written), starts: Vec::new(), has_separators: false };
        }
        let (mut line, mut column) = (1, 0);
        let mut starts = vec![Start { byte: 0, line, column }];
        for (byte, c) in written.char_indices() {
            column += 1;
            let is_return = c == '\r' && !written[byte + 1..].starts_with('\n');
            if c == '\n' || is_return {
                (line, column) = (line + 1, 0);
            }
            if is_return || BREAKS.contains(&c) {
                starts.push(Start { byte: byte + c.len_utf8(), line, column });
            }
        }
        let text = Cow::Owned(written.replace(&BREAKS[1..], "\n"));
        Self { written, text, starts, has_separators: written.contains(SEPARATORS) }
    }

    /// The author's line, from 1, and column, from 0, of a place in `text`.
    pub(super) fn place(&self, line: usize, column: usize) -> (usize, usize) {
        match line.checked_sub(1).and_then(|index| self.starts.get(index)) {
            Some(start) => (start.line, start.column + column),
            None => (line, column),
        }
    }

    /// The first character other than a line feed that ends a line, and its line.
    pub(super) fn unusual(&self) -> Option<(char, usize)> {
        let at = self.written.find(&BREAKS[1..]).filter(|_| !self.starts.is_empty())?;
        let line = self.written[..at].matches('\n').count() + 1;
        Some((self.written[at..].chars().next()?, line))
    }

    /// What PyYAML reads of the scalar between two places, where the scanner read a value; `None` where that is not known.
    pub(super) fn value<'v>(
        &self,
        style: ScalarStyle,
        start: (usize, usize),
        end: (usize, usize),
        value: Cow<'v, str>,
    ) -> Option<Cow<'v, str>> {
        if !self.has_separators {
            return Some(value);
        }
        let (start, end) = (self.byte(start), self.byte(end));
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return self.block(style, start, end, value);
        }
        let written = self.written.get(start..end)?;
        if !written.contains(SEPARATORS) {
            return Some(value);
        }
        let written = written.replace("\r\n", "\n").replace(NEXT_LINE, "\n");
        match style {
            ScalarStyle::SingleQuoted => Some(unfolded(inside(&written, '\'')?).replace("''", "'").into()),
            // Where escapes are, a break may be one of them.
            ScalarStyle::DoubleQuoted => {
                let inside = inside(&written, '"').filter(|inside| !inside.contains('\\'))?;
                Some(unfolded(inside).into())
            }
            _ => Some(unfolded(written.trim_end_matches([' ', '\n'])).into()),
        }
    }

    /// The value of a block, whose text starts behind the empty lines that it begins with.
    fn block<'v>(&self, style: ScalarStyle, start: usize, end: usize, value: Cow<'v, str>) -> Option<Cow<'v, str>> {
        let empty = value.len() - value.trim_start_matches('\n').len();
        if empty > 0 && empty == value.len() {
            return None;
        }
        let is_break = |c: &char| BREAKS.contains(c);
        let before: Vec<char> = self.written[..start].chars().rev().filter(is_break).take(empty).collect();
        let below = self.written.get(start..)?;
        if style == ScalarStyle::Literal {
            let mut breaks = before.into_iter().rev().chain(below.chars().filter(is_break));
            let mut written = || breaks.next().filter(|c| SEPARATORS.contains(c)).unwrap_or('\n');
            return Some(value.chars().map(|c| if c == '\n' { written() } else { c }).collect());
        }
        let text = self.written.get(start..end)?;
        let blank = below[text.len()..].chars().take_while(|c| c.is_whitespace());
        let is_separated = before.into_iter().chain(text.chars()).chain(blank).any(|c| SEPARATORS.contains(&c));
        (!is_separated).then_some(value)
    }

    fn byte(&self, (line, column): (usize, usize)) -> usize {
        let from = line.checked_sub(1).and_then(|index| self.starts.get(index)).map_or(0, |start| start.byte);
        self.written[from..].char_indices().nth(column).map_or(self.written.len(), |(byte, _)| from + byte)
    }
}

/// What is inside of the quotes that a text starts with; a doubled single quote is part of it.
fn inside(text: &str, quote: char) -> Option<&str> {
    let inside = text.strip_prefix(quote)?;
    let mut from = 0;
    loop {
        let at = from + inside[from..].find(quote)?;
        if quote == '"' || !inside[at + 1..].starts_with(quote) {
            return Some(&inside[..at]);
        }
        from = at + 2;
    }
}

/// A line feed alone becomes a space, and is dropped before other breaks; blanks around breaks are dropped.
fn unfolded(mut text: &str) -> String {
    const BLANKS: [char; 2] = [' ', '\t'];
    let mut all = String::with_capacity(text.len());
    while let Some(at) = text.find(BREAKS) {
        all.push_str(text[..at].trim_end_matches(BLANKS));
        let rest = text[at..].trim_start_matches(|c| BREAKS.contains(&c) || BLANKS.contains(&c));
        let breaks = text[at..text.len() - rest.len()].replace(BLANKS, "");
        all.push_str(match breaks.strip_prefix('\n') {
            Some("") => " ",
            Some(more) => more,
            None => &breaks,
        });
        text = rest;
    }
    all + text
}
