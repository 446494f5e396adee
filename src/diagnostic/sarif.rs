//! Diagnostics as SARIF 2.1.0, the format that code scanning and editors read.

use std::collections::HashMap;
use std::path::{Component, Path};

use serde_json::{Value, json};

use super::{Finding, Severity, Span};
use crate::digest::Digest;

/// The explanation of a code.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// One line.
    pub summary: &'a str,
    /// The whole page, as Markdown.
    pub page: &'a str,
}

/// A log with one run. `explain` returns the explanation of a code. A code without one becomes a rule with only a name.
///
/// Paths below the current folder are relative URIs based on `%SRCROOT%`. Columns count characters.
#[must_use]
pub fn log<'a>(findings: &[Finding<'_>], explain: &dyn Fn(&str) -> Option<Rule<'a>>) -> Value {
    let mut codes: Vec<&str> = findings.iter().map(|f| f.diagnostic.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| rule(code, explain(code))).collect();
    let mut times = HashMap::new();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let index = codes.binary_search(&finding.diagnostic.code).unwrap_or_default();
            let print = fingerprint(finding);
            let time = times.entry(print.clone()).and_modify(|n| *n += 1).or_insert(1);
            result(finding, index, &format!("{print}:{time}"))
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "amlrun", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &str, rule: Option<Rule<'_>>) -> Value {
    let Some(rule) = rule else { return json!({ "id": code, "name": pascal(code) }) };
    json!({
        "id": code,
        "name": pascal(code),
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": rule.summary },
        "help": { "text": rule.page, "markdown": rule.page },
    })
}

fn result(finding: &Finding<'_>, rule: usize, fingerprint: &str) -> Value {
    let diagnostic = finding.diagnostic;
    let (path, span) = finding.place();
    let mut location = json!({ "physicalLocation": place(path, span) });
    if !diagnostic.path.is_empty() {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": diagnostic.path }]);
    }
    let text = match &diagnostic.help {
        Some(help) => format!("{}\n{help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut result = json!({
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "message": { "text": text },
        "locations": [location],
        "partialFingerprints": { "primaryLocationLineHash": fingerprint },
    });
    let related: Vec<Value> = (1..)
        .zip(&diagnostic.labels)
        .filter_map(|(id, label)| {
            let source = finding.sources.get(label.span.source).filter(|s| s.is_file())?;
            let message = json!({ "text": label.message });
            Some(json!({ "id": id, "physicalLocation": place(&source.path, Some(label.span)), "message": message }))
        })
        .collect();
    if !related.is_empty() {
        result["relatedLocations"] = related.into();
    }
    result
}

fn place(path: &Path, span: Option<Span>) -> Value {
    let uri = uri(path);
    let mut place = json!({ "artifactLocation": { "uri": uri } });
    if !path.is_absolute() {
        place["artifactLocation"]["uriBaseId"] = "%SRCROOT%".into();
    }
    if let Some(span) = span {
        place["region"] = json!({
            "startLine": span.line, "startColumn": span.column, "endLine": span.end_line, "endColumn": span.end_column,
        });
    }
    place
}

/// A path as a URI. Relative paths stay relative. All but unreserved characters are percent-encoded.
fn uri(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| match part {
            Component::CurDir | Component::RootDir => None,
            part => Some(encoded(&part.as_os_str().to_string_lossy())),
        })
        .collect();
    let root = if path.is_absolute() { "file:///" } else { "" };
    format!("{root}{}", parts.join("/"))
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A fingerprint that stays the same when lines are added above the mistake. It covers the code, the file, the path in
/// the document, and the text.
fn fingerprint(finding: &Finding<'_>) -> String {
    let (path, span) = finding.place();
    let line = span.map_or("", |s| finding.sources.line(s.source, s.line).trim());
    let parts = [finding.diagnostic.code, &uri(path), &finding.diagnostic.path, line];
    Digest::of(parts.join("\0").as_bytes()).as_str()[..16].to_owned()
}

/// `unknown-field` as `UnknownField`.
fn pascal(code: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    code.split('-').filter_map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri(Path::new("./a b/ü%.yml")), "a%20b/%C3%BC%25.yml");
        assert_eq!(uri(Path::new("/x/y.yml")), "file:///x/y.yml");
        assert_eq!(uri(Path::new("../y.yml")), "../y.yml");
        assert_eq!(pascal("duplicate-output"), "DuplicateOutput");
    }
}
