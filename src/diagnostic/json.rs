//! Diagnostics as JSON objects that editors and scripts can rely on.

use serde_json::{Value, json};

use super::{Diagnostics, Sources};

/// A list of objects with `code`, `severity`, `message`, `file`, `line`, `column`, `end_line`, `end_column`, `path` and
/// `help`. The members of the position are null if the file could not be read.
#[must_use]
pub fn to_json(diagnostics: &Diagnostics, sources: &Sources) -> Value {
    let all = diagnostics.sorted().into_iter().map(|d| {
        let file = d.span.and_then(|s| sources.get(s.source)).map(|s| s.path.display().to_string());
        json!({
            "code": d.code,
            "severity": d.severity,
            "message": d.message,
            "file": file,
            "line": d.span.map(|s| s.line),
            "column": d.span.map(|s| s.column),
            "end_line": d.span.map(|s| s.end_line),
            "end_column": d.span.map(|s| s.end_column),
            "path": d.path,
            "help": d.help,
        })
    });
    Value::Array(all.collect())
}
