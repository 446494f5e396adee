//! Diagnostics as text: the line, a caret under the mistake, and help.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::snippet::{self, Mark, Paint};
use super::visible::visible;
use super::{Diagnostic, Diagnostics, Severity, Sources};

/// All diagnostics, each as a block of text with carets, and a closing line that counts them. `colour` adds ANSI
/// styles; the text is the same without them.
#[must_use]
pub fn render(diagnostics: &Diagnostics, sources: &Sources, colour: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.sorted() {
        out.push_str(&block(diagnostic, sources, colour));
        out.push('\n');
    }
    let [errors, warnings, notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(|severity| diagnostics.count(severity));
    let counts = counts(errors, warnings, notes);
    if !counts.is_empty() {
        let _ = writeln!(out, "{counts}");
    }
    out
}

/// `2 errors, 1 warning`; empty when there is nothing to count.
#[must_use]
pub fn counts(errors: usize, warnings: usize, notes: usize) -> String {
    let counts: Vec<String> = [(errors, "error"), (warnings, "warning"), (notes, "note")]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    counts.join(", ")
}

/// One diagnostic: its message, one excerpt for each file with its positions marked, and its help. Ends with a line
/// break.
#[must_use]
pub fn block(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let paint = Paint { colour };
    let (word, hue) = match diagnostic.severity {
        Severity::Error => ("error", AnsiColor::Red),
        Severity::Warning => ("warning", AnsiColor::Yellow),
        Severity::Note => ("note", AnsiColor::Cyan),
    };
    let main = Style::new().bold().fg_color(Some(hue.into()));
    let edge = Style::new().bold().fg_color(Some(AnsiColor::Blue.into()));
    let bold = Style::new().bold();
    let title = paint.dye(main, &format!("{word}[{}]", diagnostic.code));
    let mut out = format!("{title}{}\n", paint.dye(bold, &format!(": {}", visible(&diagnostic.message))));

    let first = diagnostic.span.iter().map(|span| Mark { span: *span, message: "", glyph: '^', style: main });
    let others = diagnostic.labels.iter().map(|l| Mark { span: l.span, message: &l.message, glyph: '-', style: edge });
    let marks: Vec<Mark<'_>> = first.chain(others).collect();
    let gutter = snippet::gutter(marks.iter(), sources);
    let mut files: Vec<_> = Vec::new();
    for mark in &marks {
        if !files.contains(&mark.span.source) {
            files.push(mark.span.source);
        }
    }
    for (index, file) in files.iter().enumerate() {
        let here: Vec<&Mark<'_>> = marks.iter().filter(|m| m.span.source == *file).collect();
        let name = sources.get(*file).map(|s| s.path.display().to_string()).unwrap_or_default();
        let Some(place) = here.first().map(|m| m.span) else { continue };
        let arrow = if index == 0 { "-->" } else { ":::" };
        if index > 0 {
            let _ = writeln!(out, "{:gutter$} {}", "", paint.dye(edge, "|"));
        }
        let arrow = paint.dye(edge, arrow);
        let _ = writeln!(out, "{:gutter$}{arrow} {}:{}:{}", "", visible(&name), place.line, place.column);
        for row in snippet::draw(&here, sources, gutter, edge, paint) {
            let _ = writeln!(out, "{row}");
        }
    }
    if let Some(help) = &diagnostic.help {
        let (sign, word) = (paint.dye(edge, "="), paint.dye(bold, "help"));
        let _ = writeln!(out, "{:gutter$} {sign} {word}: {}", "", visible(help));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{SourceId, Span};
    use std::path::Path;

    fn text_of(text: &str) -> (Sources, SourceId) {
        let mut sources = Sources::default();
        let source = sources.add(Path::new("job.yml"), text);
        (sources, source)
    }

    fn span(source: SourceId, line: usize, column: usize, length: usize) -> Span {
        Span { source, line, column, end_line: line, end_column: column + length }
    }

    #[test]
    fn the_caret_stands_under_the_mistake() {
        let (sources, source) = text_of("type: command\ncomand: echo\n");
        let mut all = Diagnostics::default();
        all.push(
            Diagnostic::error("unknown-field", span(source, 2, 1, 6), "unknown field 'comand'")
                .did_you_mean("comand", ["command"]),
        );
        let text = render(&all, &sources, false);
        assert_eq!(
            text,
            "error[unknown-field]: unknown field 'comand'\n --> job.yml:2:1\n  |\n2 | comand: echo\n  | ^^^^^^\n  \
             = help: did you mean 'command'?\n\n1 error\n"
        );
    }

    #[test]
    fn labels_of_one_file_share_an_excerpt_and_another_file_has_its_own() {
        let (mut sources, job) = text_of("inputs:\n  seed: zero\njobs:\n  a:\n    inputs:\n      seed: ${{x}}\n");
        let train = sources.add(Path::new("train.yml"), "inputs:\n  seed: {type: integer}\n");
        let mistake = Diagnostic::error("bad-value", span(job, 6, 13, 6), "'zero' is no integer")
            .label(span(job, 2, 9, 4), "its value")
            .label(span(train, 2, 3, 4), "declared here")
            .help("write a whole number");
        let text = block(&mistake, &sources, false);
        let wanted = [
            "error[bad-value]: 'zero' is no integer",
            " --> job.yml:6:13",
            "  |",
            "2 |   seed: zero",
            "  |         ---- its value",
            "...",
            "6 |       seed: ${{x}}",
            "  |             ^^^^^^",
            "  |",
            " ::: train.yml:2:3",
            "  |",
            "2 |   seed: {type: integer}",
            "  |   ---- declared here",
            "  = help: write a whole number",
            "",
        ];
        assert_eq!(text, wanted.join("\n"));
    }

    #[test]
    fn several_marks_on_one_line_keep_their_messages_apart() {
        let (sources, source) = text_of("a: {x: 1, y: 2, x: 3}\n");
        let mistake = Diagnostic::error("duplicate-key", span(source, 1, 17, 1), "twice")
            .label(span(source, 1, 5, 1), "the first")
            .label(span(source, 1, 11, 1), "between");
        let text = block(&mistake, &sources, false);
        let wanted = [
            "1 | a: {x: 1, y: 2, x: 3}",
            "  |     -     -     ^",
            "  |     |     |",
            "  |     |     between",
            "  |     the first",
            "",
        ];
        assert!(text.ends_with(&wanted.join("\n")), "{text}");
    }

    #[test]
    fn a_span_of_several_lines_is_marked_on_each_and_a_long_one_at_its_ends() {
        let (sources, source) = text_of("jobs:\n  - a\n  - bb\nx: |\n  1\n  2\n  3\n  4\n  5\ny: 1\n");
        let list = Span { source, line: 2, column: 3, end_line: 3, end_column: 7 };
        let text = block(&Diagnostic::error("wrong-type", list, "a list"), &sources, false);
        assert!(text.ends_with("2 |   - a\n  |   ^^^\n3 |   - bb\n  |   ^^^^\n"), "{text}");
        let block_scalar = Span { source, line: 4, column: 4, end_line: 10, end_column: 1 };
        let mistake = Diagnostic::error("wrong-type", block_scalar, "text").label(span(source, 10, 1, 1), "y");
        let text = block(&mistake, &sources, false);
        let wanted = [" 4 | x: |", "   |    ^", "...", " 9 |   5", "   |   ^", "10 | y: 1", "   | - y", ""];
        assert!(text.ends_with(&wanted.join("\n")), "{text}");
    }

    #[test]
    fn tabs_wide_characters_and_controls_keep_the_caret_in_place() {
        let (sources, source) = text_of("a:\t[日本, x]\n\u{1b}[31m: y\n");
        let text = block(&Diagnostic::error("c", span(source, 1, 9, 1), "m"), &sources, false);
        assert!(text.ends_with("1 | a:  [日本, x]\n  |            ^\n"), "{text}");
        let text = block(&Diagnostic::error("c", span(source, 2, 1, 5), "of \u{1b}[31m"), &sources, false);
        assert!(text.starts_with("error[c]: of ␛[31m\n") && text.ends_with("2 | ␛[31m: y\n  | ^^^^^\n"), "{text}");
    }

    #[test]
    fn signs_that_are_joined_take_the_cells_of_one() {
        let (sources, source) = text_of("\u{1f469}\u{200d}\u{1f52c}\u{1f44d}\u{1f3fd}\u{2764}\u{fe0f}e\u{301}x\n");
        let text = block(&Diagnostic::error("c", span(source, 1, 10, 1), "m"), &sources, false);
        assert!(text.ends_with("\n  |        ^\n"), "{text}");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_caret_is_shown() {
        let long = format!("command: {}WRONG{}", "x ".repeat(200), " y".repeat(200));
        let (sources, source) = text_of(&long);
        let text = block(&Diagnostic::error("c", span(source, 1, 410, 5), "m"), &sources, false);
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[3].starts_with("1 | …") && rows[3].ends_with('…') && rows[3].chars().count() < 120, "{text}");
        assert_eq!(rows[3].chars().position(|c| c == 'W'), rows[4].chars().position(|c| c == '^'), "{text}");
    }

    #[test]
    fn colours_change_nothing_of_the_text() {
        let (sources, source) = text_of("a: b\n");
        let mistake = Diagnostic::warning("c", span(source, 1, 1, 1), "m").label(span(source, 1, 4, 1), "l").help("h");
        let coloured = block(&mistake, &sources, true);
        assert!(coloured.contains("\x1b[1m\x1b[33mwarning[c]\x1b[0m"), "{coloured:?}");
        let mut plain = String::new();
        for (index, part) in coloured.split('\x1b').enumerate() {
            plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(plain, block(&mistake, &sources, false));
    }
}
