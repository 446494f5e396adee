//! Diagnostics as workflow commands, which GitHub Actions shows at the lines of a pull request.

use std::fmt::Write as _;

use super::{Finding, Severity};

/// One command on each line: `::error file=…,line=…,col=…,endLine=…,endColumn=…,title=…::…`. A span of several lines
/// has no columns, because GitHub accepts columns only within one line.
#[must_use]
pub fn commands(findings: &[Finding<'_>]) -> String {
    let mut out = String::new();
    for finding in findings {
        let diagnostic = finding.diagnostic;
        let word = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let (path, span) = finding.place();
        let path = path.display().to_string();
        let _ = write!(out, "::{word} file={}", property(path.strip_prefix("./").unwrap_or(&path)));
        if let Some(span) = span {
            let _ = write!(out, ",line={}", span.line);
            if span.line == span.end_line {
                let _ = write!(out, ",col={},endLine={},endColumn={}", span.column, span.end_line, span.end_column);
            } else {
                let _ = write!(out, ",endLine={}", span.end_line);
            }
        }
        let help = diagnostic.help.iter().map(|help| format!("\nhelp: {help}"));
        let message: String = std::iter::once(diagnostic.message.clone()).chain(help).collect();
        let _ = writeln!(out, ",title={}::{}", property(diagnostic.code), escaped(&message));
    }
    out
}

/// Escapes the characters that would end the text of a command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the characters that would end the value of a property.
fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Diagnostic, Sources, Span};
    use std::path::Path;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        let mut sources = Sources::default();
        let source = sources.add(Path::new("./a,b:100%.yml"), "x: 1\n");
        let span = Span { source, line: 1, column: 1, end_line: 1, end_column: 2 };
        let diagnostic = Diagnostic::warning("unknown-field", span, "50%: a,\r\nb").help("so");
        let finding = Finding { diagnostic: &diagnostic, sources: &sources, file: Path::new("job.yml") };
        assert_eq!(
            commands(&[finding]),
            "::warning file=a%2Cb%3A100%25.yml,line=1,col=1,endLine=1,endColumn=2,title=unknown-field\
             ::50%25: a,%0D%0Ab%0Ahelp: so\n"
        );
        let nowhere = Diagnostic::without_place("unreadable-file", "cannot");
        let finding = Finding { diagnostic: &nowhere, sources: &sources, file: Path::new("job.yml") };
        assert_eq!(commands(&[finding]), "::error file=job.yml,title=unreadable-file::cannot\n");
    }
}
