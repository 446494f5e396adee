//! Lines of a file with marks under them, for any terminal.
//!
//! Converts columns from characters to terminal cells: tabs extend to the next tab stop, wide characters take two
//! cells, and control characters are shown as symbols. Of a very long line, only the part around the mark is shown.
//! This file draws positions and marks; [`super::render`] decides what to show and in which colours.

use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;

use super::visible::{picture, visible};
use super::{Sources, Span};

/// A line with more cells is shortened around its marks.
const WIDEST: usize = 110;
/// The tab width in excerpts. YAML allows tabs only in values and comments, so a narrow one is enough.
const TAB: usize = 4;
/// Of a span with more lines, only the first and the last line are shown.
const MOST_LINES: usize = 4;

/// Adds styles to text, or leaves it plain.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    pub colour: bool,
}

impl Paint {
    pub(super) fn dye(self, style: Style, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("{}{text}{}", style.render(), style.render_reset())
        } else {
            text.to_owned()
        }
    }
}

/// A position with its message.
pub(super) struct Mark<'a> {
    pub span: Span,
    pub message: &'a str,
    pub glyph: char,
    pub style: Style,
}

/// The part of a mark on one line, in characters from 0. The message is shown at the last part.
#[derive(Clone)]
struct Stretch<'a> {
    line: usize,
    from: usize,
    to: usize,
    mark: &'a Mark<'a>,
    message: &'a str,
}

/// The lines of one file that have marks, each with its number and its marks. `...` replaces omitted lines. `edge` is
/// the style of the numbers, and `gutter` is their width.
pub(super) fn draw(marks: &[&Mark<'_>], sources: &Sources, gutter: usize, edge: Style, paint: Paint) -> Vec<String> {
    let mut stretches: Vec<Stretch<'_>> = marks.iter().flat_map(|mark| stretches(mark, sources)).collect();
    stretches.sort_by_key(|s| s.line);
    let bar = paint.dye(edge, "|");
    let mut rows = vec![format!("{:gutter$} {bar}", "")];
    let mut last: Option<usize> = None;
    for group in stretches.chunk_by(|a, b| a.line == b.line) {
        let (number, source) = (group[0].line, group[0].mark.span.source);
        match last.map(|l| number - l) {
            Some(2) => {
                let between = Cells::of(sources.line(source, number - 1)).part(0, WIDEST);
                let row = format!("{} {bar} {between}", paint.dye(edge, &format!("{:>gutter$}", number - 1)));
                rows.push(row.trim_end().to_owned());
            }
            Some(3..) => rows.push(paint.dye(edge, "...")),
            _ => {}
        }
        last = Some(number);
        for (text, below) in excerpts(&Cells::of(sources.line(source, number)), group.to_vec(), paint) {
            let row = format!("{} {bar} {text}", paint.dye(edge, &format!("{number:>gutter$}")));
            rows.push(row.trim_end().to_owned());
            rows.extend(below.into_iter().map(|marks| format!("{:gutter$} {bar} {marks}", "")));
        }
    }
    rows
}

/// The width of the line numbers of these marks.
pub(super) fn gutter<'a>(marks: impl Iterator<Item = &'a Mark<'a>>, sources: &Sources) -> usize {
    marks.flat_map(|m| stretches(m, sources).into_iter().map(|s| s.line)).max().map_or(1, |line| line.to_string().len())
}

fn stretches<'a>(mark: &'a Mark<'a>, sources: &Sources) -> Vec<Stretch<'a>> {
    let span = mark.span;
    // A block scalar ends at the start of the line after it.
    let last = if span.end_column <= 1 { span.end_line.saturating_sub(1) } else { span.end_line }.max(span.line);
    let mut all: Vec<Stretch<'a>> = Vec::new();
    for line in span.line..=last {
        if last - span.line >= MOST_LINES && line != span.line && line != last {
            continue;
        }
        let text = sources.line(span.source, line);
        let length = text.trim_end().chars().count();
        let indent = text.chars().take_while(|c| c.is_whitespace()).count();
        let from = if line == span.line { span.column.saturating_sub(1) } else { indent };
        let to = if line == span.end_line { (span.end_column - 1).min(length) } else { length };
        if line == span.line || from < to {
            all.push(Stretch { line, from, to: to.max(from + 1), mark, message: "" });
        }
    }
    if let Some(end) = all.last_mut() {
        end.message = mark.message;
    }
    all
}

/// The line with its marks. A long line is repeated for marks that are outside of its first part.
fn excerpts(cells: &Cells, mut open: Vec<Stretch<'_>>, paint: Paint) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    // The most important mark comes first.
    open.sort_by_key(|s| (s.mark.glyph != '^', s.from));
    while let Some(first) = open.first() {
        let (left, right) = cells.window(cells.at(first.from), cells.at(first.to));
        let in_sight = |s: &Stretch<'_>| cells.at(s.from) >= left && (cells.at(s.from) < right || right == cells.end);
        let (mut here, later): (Vec<_>, Vec<_>) = open.into_iter().partition(in_sight);
        if here.is_empty() {
            break;
        }
        here.sort_by_key(|s| s.from);
        let mut placed = Vec::new();
        for of in &here {
            let (from, to) = (cells.at(of.from) - left, cells.at(of.to).min(right).saturating_sub(left));
            placed.push(Placed { from, to: to.max(from + 1), of });
        }
        all.push((cells.part(left, right), under(&placed, paint)));
        open = later;
    }
    all
}

/// A mark, in cells of the visible part.
struct Placed<'a> {
    from: usize,
    to: usize,
    of: &'a Stretch<'a>,
}

/// The rows under a line: the marks with the last message beside them, then the other messages, each below its mark.
fn under(marks: &[Placed<'_>], paint: Paint) -> Vec<String> {
    let end = marks.iter().map(|m| m.to).max().unwrap_or(0);
    let mut row: Vec<Option<&Placed<'_>>> = vec![None; end];
    let (main, side): (Vec<&Placed<'_>>, Vec<&Placed<'_>>) = marks.iter().partition(|m| m.of.mark.glyph == '^');
    for mark in side.into_iter().chain(main) {
        row[mark.from..mark.to].fill(Some(mark));
    }
    let mut first = String::new();
    for run in row.chunk_by(|a, b| a.map(|m| m.of.mark.glyph) == b.map(|m| m.of.mark.glyph)) {
        match run[0] {
            None => first.push_str(&" ".repeat(run.len())),
            Some(m) => first.push_str(&paint.dye(m.of.mark.style, &m.of.mark.glyph.to_string().repeat(run.len()))),
        }
    }
    let mut waiting: Vec<&Placed<'_>> = marks.iter().filter(|m| !m.of.message.is_empty()).collect();
    if let Some(beside) = waiting.pop_if(|last| last.to == end) {
        first.push_str(&paint.dye(beside.of.mark.style, &format!(" {}", visible(beside.of.message))));
    }
    let mut rows = vec![first];
    if !waiting.is_empty() {
        rows.push(bars(&waiting, None, paint));
    }
    while let Some(mark) = waiting.pop() {
        rows.push(bars(&waiting, Some(mark), paint));
    }
    rows
}

/// A bar for each mark whose message comes later, and the message of `mark`.
fn bars(waiting: &[&Placed<'_>], mark: Option<&Placed<'_>>, paint: Paint) -> String {
    let mut row = String::new();
    let mut column = 0;
    for other in waiting {
        if other.from < column || mark.is_some_and(|m| m.from == other.from) {
            continue;
        }
        row.push_str(&" ".repeat(other.from - column));
        row.push_str(&paint.dye(other.of.mark.style, "|"));
        column = other.from + 1;
    }
    if let Some(mark) = mark {
        row.push_str(&" ".repeat(mark.from.saturating_sub(column)));
        row.push_str(&paint.dye(mark.of.mark.style, &visible(mark.of.message)));
    }
    row
}

/// A line as terminal cells.
struct Cells {
    /// The text of each character, and the cell where it begins.
    shown: Vec<(String, usize)>,
    end: usize,
}

impl Cells {
    fn of(line: &str) -> Self {
        let mut shown: Vec<(String, usize)> = Vec::new();
        let (mut end, mut joined) = (0, false);
        for c in line.chars() {
            let (text, width) = match c {
                '\t' => (" ".repeat(TAB - end % TAB), TAB - end % TAB),
                // Parts of one emoji: the joiner, or a skin tone.
                '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}' if end > 0 => (c.to_string(), 0),
                _ if joined && c.width() == Some(2) => (c.to_string(), 0),
                // A variation selector: the character before it is shown as an emoji, which takes two cells.
                '\u{fe0f}' if shown.last().is_some_and(|(_, at)| end - at == 1) => (c.to_string(), 1),
                c => (picture(c).to_string(), picture(c).width().unwrap_or(0)),
            };
            joined = c == '\u{200d}';
            shown.push((text, end));
            end += width;
        }
        Self { shown, end }
    }

    /// The cell where a character begins. Beyond the text, as if it were followed by spaces.
    fn at(&self, character: usize) -> usize {
        self.shown.get(character).map_or_else(|| self.end + (character - self.shown.len()), |(_, at)| *at)
    }

    /// The range of cells to show so that a mark is visible with some context.
    fn window(&self, from: usize, to: usize) -> (usize, usize) {
        if self.end <= WIDEST {
            return (0, self.end);
        }
        let around = WIDEST.saturating_sub(to - from).max(WIDEST / 4) / 2;
        let left = from.saturating_sub(around).min(self.end.saturating_sub(WIDEST));
        let right = (left + WIDEST).min(self.end);
        // Near its beginning, a line is not cut there.
        (if left < TAB { 0 } else { left }, right)
    }

    /// The text of a range of cells, with `…` where it is cut.
    fn part(&self, left: usize, right: usize) -> String {
        let (cut_left, cut_right) = (left > 0, right < self.end);
        let (from, to) = (left + usize::from(cut_left), right - usize::from(cut_right));
        let mut text = if cut_left { "…".to_owned() } else { String::new() };
        let mut cell = from;
        for (index, (shown, at)) in self.shown.iter().enumerate() {
            let next = self.shown.get(index + 1).map_or(self.end, |(_, next)| *next);
            if *at >= from && next <= to && (next > *at || cell > from) {
                // A wide character that is cut in half becomes a space.
                text.push_str(&" ".repeat(at - cell.min(*at)));
                text.push_str(shown);
                cell = next;
            }
        }
        if cut_right {
            text.push_str(&" ".repeat(to.saturating_sub(cell)));
            text.push('…');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use unicode_width::UnicodeWidthStr;

    proptest::proptest! {
        /// For any line and any span: no panic, no control characters in the output, and no wide rows.
        #[test]
        fn every_line_is_shown_in_bounds(
            line in "[a-z\t\u{1b}日🦀\u{301} :]{0,300}", column in 1usize..320, length in 0usize..320,
            second in 1usize..320,
        ) {
            let mut sources = Sources::default();
            let source = sources.add(Path::new("f.yml"), &line);
            let span = |column: usize, length| Span { source, line: 1, column, end_line: 1, end_column: column + length };
            let main = Mark { span: span(column, length), message: "", glyph: '^', style: Style::new() };
            let side = Mark { span: span(second, 1), message: "here", glyph: '-', style: Style::new() };
            let rows = draw(&[&main, &side], &sources, 1, Style::new(), Paint { colour: false });
            let text = rows.join("\n");
            proptest::prop_assert!(!text.contains(['\x1b', '\t']));
            proptest::prop_assert!(text.contains('^') || column == second || length == 0, "{}", text);
            for row in rows.iter().filter(|r| r.starts_with('1')) {
                proptest::prop_assert!(row.width() < WIDEST + 4 + TAB, "{} cells: {}", row.width(), row);
            }
        }

        /// If the whole line is shown, the caret is in the same cell as its character.
        #[test]
        fn the_caret_stands_under_its_character(before in "[a-z\t日 :]{0,40}", after in "[a-z\t日]{0,10}") {
            let line = format!("{before}X{after}");
            let mut sources = Sources::default();
            let source = sources.add(Path::new("f.yml"), &line);
            let column = before.chars().count() + 1;
            let span = Span { source, line: 1, column, end_line: 1, end_column: column + 1 };
            let mark = Mark { span, message: "", glyph: '^', style: Style::new() };
            let rows = draw(&[&mark], &sources, 1, Style::new(), Paint { colour: false });
            let cell = |row: &str, wanted: char| row.split(wanted).next().map(UnicodeWidthStr::width);
            proptest::prop_assert_eq!(cell(&rows[1], 'X'), cell(&rows[2], '^'), "{}", rows.join("\n"));
        }
    }
}
