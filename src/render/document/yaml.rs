//! YAML with a comment on each line that has a value: its origin.
//!
//! `serde_yaml` writes the scalars. The lines are laid out here, because it does not support comments. Text that PyYAML
//! would read as another type (`yes`, `017`, `2024-01-01`: YAML 1.1) is quoted.

use super::origin::{ValueOrigin, origin_of};
use crate::diagnostic::Sources;
use crate::language::resolved::{Resolved, What};
use crate::yaml::{Literal, Scalar};

/// The whole document.
pub(crate) fn write(document: &Resolved, sources: &Sources) -> String {
    let mut out = String::new();
    let writer = Writer { sources };
    match &document.what {
        What::Map(entries) if !entries.is_empty() => writer.map(entries, 0, &mut out),
        _ => out.push_str("{}\n"),
    }
    out
}

struct Writer<'a> {
    sources: &'a Sources,
}

impl Writer<'_> {
    fn map(&self, entries: &[(String, Resolved)], indent: usize, out: &mut String) {
        for (key, value) in entries {
            let start = format!("{}{}:", " ".repeat(indent), text(key).concat());
            match &value.what {
                What::Map(inner) if !inner.is_empty() => {
                    self.line(&start, value, value.content_of.is_some(), out);
                    self.map(inner, indent + 2, out);
                }
                What::List(items) if !items.is_empty() => {
                    self.line(&start, value, value.content_of.is_some(), out);
                    self.list(items, indent + 2, out);
                }
                _ => self.leaf(&start, value, indent, out),
            }
        }
    }

    fn list(&self, items: &[Resolved], indent: usize, out: &mut String) {
        let start = format!("{}-", " ".repeat(indent));
        for item in items {
            let from = out.len();
            match &item.what {
                What::Map(inner) if !inner.is_empty() => self.map(inner, indent + 2, out),
                What::List(inner) if !inner.is_empty() => self.list(inner, indent + 2, out),
                _ => {
                    self.leaf(&start, item, indent, out);
                    continue;
                }
            }
            // The first line of the content follows the dash.
            out.replace_range(from + indent..=from + indent, "-");
        }
    }

    /// A scalar, or an empty value.
    fn leaf(&self, start: &str, value: &Resolved, indent: usize, out: &mut String) {
        let lines = match &value.what {
            What::Map(_) => vec!["{}".to_owned()],
            What::List(_) => vec!["[]".to_owned()],
            What::Unread => vec!["null".to_owned()],
            What::Scalar(literal) => scalar(literal),
        };
        let first = format!("{start} {}", lines[0]);
        // A comment can follow the header of a block scalar, or the end of any other scalar.
        let block = lines[0].starts_with(['|', '>']);
        if block || lines.len() == 1 {
            self.line(&first, value, true, out);
        } else {
            out.push_str(&first);
            out.push('\n');
        }
        for (n, line) in lines.iter().enumerate().skip(1) {
            let line = if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(indent)) };
            self.line(&line, value, !block && n + 1 == lines.len(), out);
        }
    }

    fn line(&self, line: &str, value: &Resolved, told: bool, out: &mut String) {
        out.push_str(line);
        if told {
            out.push_str("  # ");
            let mut comment = match origin_of(value.place, self.sources) {
                ValueOrigin::Default => "default".to_owned(),
                ValueOrigin::Set => "--set".to_owned(),
                ValueOrigin::File(file, span) => format!("{file}:{}", span.line),
            };
            if let Some(file) = &value.content_of {
                comment += &format!(", content of {}", file.display());
            }
            if value.what == What::Unread {
                comment += ", cannot be read";
            }
            out.extend(comment.chars().map(|c| if c.is_control() { '?' } else { c }));
        }
        out.push('\n');
    }
}

/// The lines of a scalar. All but the first are indented as if the key had no indentation.
fn scalar(literal: &Literal) -> Vec<String> {
    vec![match literal {
        Literal::Null => "null".to_owned(),
        Literal::Bool(it) => it.to_string(),
        Literal::Float(number) if number.is_nan() => ".nan".to_owned(),
        Literal::Float(number) if number.is_infinite() => if *number > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        // PyYAML reads a number with an exponent only if it has a dot before it.
        Literal::Float(_) => match literal.python_str().split_once('e') {
            Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
            _ => literal.python_str(),
        },
        Literal::Int(_) | Literal::Timestamp(_) => literal.python_str(),
        Literal::Str(it) => return text(it),
    }]
}

/// The lines of a text.
fn text(text: &str) -> Vec<String> {
    let written = serde_yaml::to_string(&std::collections::BTreeMap::from([("k", text)])).unwrap_or_default();
    let written = written.strip_prefix("k: ").unwrap_or(&written);
    let written = written.strip_suffix('\n').unwrap_or(written);
    let scalar = Scalar { text: text.to_owned(), plain: true };
    if written == text && Literal::read(&scalar) != Literal::Str(text.to_owned()) {
        return vec![format!("'{}'", text.replace('\'', "''"))];
    }
    written.split('\n').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;
    use crate::language::value::{Data, Value};
    use proptest::prelude::*;

    /// The value that our reader, which follows PyYAML, reads from a text.
    fn read(text: &str) -> Option<Value> {
        let mut sources = Sources::default();
        let id = sources.add(std::path::Path::new("t"), text);
        crate::yaml::parse(text, id, &mut Vec::new()).map(|node| Value::plain(&node))
    }

    fn leaf(literal: Literal) -> Resolved {
        Resolved { what: What::Scalar(literal), place: None, content_of: None }
    }

    fn comes_back(literal: &Literal) {
        let inner = What::Map(vec![("k".to_owned(), leaf(literal.clone()))]);
        let list = What::List(vec![leaf(literal.clone()), Resolved { what: inner, ..leaf(Literal::Null) }]);
        let document = What::Map(vec![("list".to_owned(), Resolved { what: list, ..leaf(Literal::Null) })]);
        let written = write(&Resolved { what: document, ..leaf(Literal::Null) }, &Sources::default());
        let value = read(&written).unwrap_or_else(|| panic!("not YAML:\n{written}"));
        let items = value.map().unwrap()[0].value.list().unwrap();
        assert_eq!(items[0].literal().as_ref(), Some(literal), "{written}");
        assert_eq!(items[1].map().unwrap()[0].value.literal().as_ref(), Some(literal), "{written}");
        assert!(!matches!(items[0].data, Data::Unread));
    }

    #[test]
    fn scalars_that_yaml_1_1_reads_in_its_own_way_come_back() {
        for text in [
            "yes",
            "017",
            "1_000",
            "2024-01-01",
            "12:30:45",
            "1e-3",
            "~",
            "",
            "a: b",
            "# no",
            "- x",
            "a\nb\n",
            " a\n b",
            "a #b",
            "\t",
            "é\u{85}x",
            "a\n\n\nb",
            "'",
            "\"",
            "a\n",
            "\n",
        ] {
            comes_back(&Literal::Str(text.to_owned()));
        }
        for number in [1e-5, 1e300, 0.5, -2.0, f64::INFINITY, 123_456_789.0] {
            comes_back(&Literal::Float(number));
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "[ -~\\n\\t'\"#:é]{0,24}") {
            comes_back(&Literal::Str(text));
        }
    }
}
