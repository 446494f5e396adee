//! Diagnostics as text: the line, a caret under the mistake, and what to do.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::{Diagnostic, Diagnostics, Severity, Sources, Span};

/// All diagnostics, each as a block of text with a caret, and a closing line that counts them.
/// `colour` says whether to add ANSI styles; the text is the same without.
#[must_use]
pub fn render(diagnostics: &Diagnostics, sources: &Sources, colour: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.sorted() {
        one(&mut out, diagnostic, sources, colour);
        out.push('\n');
    }
    let counts: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
        .iter()
        .map(|(severity, word)| (diagnostics.count(*severity), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    if !counts.is_empty() {
        let _ = writeln!(out, "{}", counts.join(", "));
    }
    out
}

fn one(out: &mut String, diagnostic: &Diagnostic, sources: &Sources, colour: bool) {
    let paint = |style: Style| if colour { (style.render().to_string(), "\x1b[0m") } else { (String::new(), "") };
    let (word, hue) = match diagnostic.severity {
        Severity::Error => ("error", AnsiColor::Red),
        Severity::Warning => ("warning", AnsiColor::Yellow),
        Severity::Note => ("note", AnsiColor::Cyan),
    };
    let main = Style::new().bold().fg_color(Some(hue.into()));
    let (on, off) = paint(main);
    let (bold, unbold) = paint(Style::new().bold());
    let _ = writeln!(out, "{on}{word}[{}]{off}{bold}: {}{unbold}", diagnostic.code, diagnostic.message);
    let gutter = diagnostic
        .span
        .iter()
        .chain(diagnostic.labels.iter().map(|l| &l.span))
        .map(|s| s.line.to_string().len())
        .max()
        .unwrap_or(1);
    let edge = Style::new().bold().fg_color(Some(AnsiColor::Blue.into()));
    if let Some(span) = &diagnostic.span {
        excerpt(out, span, "", '^', gutter, sources, paint(edge), paint(main));
    }
    for label in &diagnostic.labels {
        excerpt(out, &label.span, &label.message, '-', gutter, sources, paint(edge), paint(edge));
    }
    if let Some(help) = &diagnostic.help {
        let (on, off) = paint(edge);
        let _ = writeln!(out, "{:gutter$} {on}={off} {bold}help{unbold}: {help}", "");
    }
}

#[allow(clippy::too_many_arguments)]
fn excerpt(
    out: &mut String,
    span: &Span,
    message: &str,
    mark: char,
    gutter: usize,
    sources: &Sources,
    (edge, edge_off): (String, &str),
    (hue, hue_off): (String, &str),
) {
    let name = sources.get(span.source).map(|s| s.path.display().to_string()).unwrap_or_default();
    let line = sources.line(span.source, span.line);
    let shown = line.replace('\t', " ");
    let before: String = shown.chars().take(span.column - 1).collect();
    let length = if span.end_line == span.line { span.end_column.saturating_sub(span.column) } else { usize::MAX };
    let marked: String = shown.chars().skip(span.column - 1).take(length).collect();
    let indent = before.width();
    let carets = mark.to_string().repeat(marked.trim_end().width().max(1));
    let _ = writeln!(out, "{:gutter$}{edge}-->{edge_off} {name}:{}:{}", "", span.line, span.column);
    let _ = writeln!(out, "{:gutter$} {edge}|{edge_off}", "");
    let _ = writeln!(out, "{edge}{:>gutter$} |{edge_off} {shown}", span.line);
    let trailing = if message.is_empty() { String::new() } else { format!(" {message}") };
    let _ = writeln!(out, "{:gutter$} {edge}|{edge_off} {:indent$}{hue}{carets}{trailing}{hue_off}", "", "");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_caret_stands_under_the_mistake() {
        let mut sources = Sources::default();
        let source = sources.add(Path::new("job.yml"), "type: command\ncomand: echo\n");
        let span = Span { source, line: 2, column: 1, end_line: 2, end_column: 7 };
        let mut all = Diagnostics::default();
        all.push(
            Diagnostic::error("unknown-field", span, "unknown field 'comand'").did_you_mean("comand", ["command"]),
        );
        let text = render(&all, &sources, false);
        assert_eq!(
            text,
            "error[unknown-field]: unknown field 'comand'\n --> job.yml:2:1\n  |\n2 | comand: echo\n  | ^^^^^^\n  \
             = help: did you mean 'command'?\n\n1 error\n"
        );
    }

    #[test]
    fn wide_characters_move_the_caret() {
        let mut sources = Sources::default();
        let source = sources.add(Path::new("j.yml"), "日本: x\n");
        let span = Span { source, line: 1, column: 5, end_line: 1, end_column: 6 };
        let mut all = Diagnostics::default();
        all.push(Diagnostic::error("c", span, "m"));
        assert!(render(&all, &sources, false).contains("  |       ^\n"));
    }
}
