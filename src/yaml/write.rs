//! A tree written back as YAML that reads the same: for a document that `--set` changed and that has to be kept.

use super::{Entry, Kind, Literal, Node, Scalar};

/// The tree in flow style, one line. Plain scalars that mean something (`yes`, `017`) stay as they were written.
#[must_use]
pub fn flow(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(one) => scalar(one),
        Kind::Sequence(items) => format!("[{}]", joined(items.iter().map(flow))),
        Kind::Mapping(entries) => format!("{{{}}}", joined(entries.iter().map(entry))),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn entry(entry: &Entry) -> String {
    let key = Scalar { text: entry.key.clone(), plain: entry.key_plain };
    format!("{}: {}", scalar(&key), flow(&entry.value))
}

fn scalar(scalar: &Scalar) -> String {
    match Literal::read(scalar) {
        Literal::Str(text) => serde_json::Value::String(text).to_string(),
        Literal::Null => "null".to_owned(),
        _ => scalar.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;
    use std::path::Path;

    fn parsed(text: &str) -> Node {
        let mut found = Vec::new();
        let source = Sources::default().add(Path::new("x.yml"), text);
        let node = super::super::parse(text, source, &mut found).unwrap();
        assert!(found.is_empty());
        node
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let text = "a: yes\nb: [017, 1e-3, '5', ~, ]\nc: |\n  x: \"y\"\n  z\n1: {'on': {}}\nd: é\n";
        let written = flow(&parsed(text));
        assert_eq!(
            written,
            r#"{"a": yes, "b": [017, "1e-3", "5", null], "c": "x: \"y\"\nz\n", 1: {"on": {}}, "d": "é"}"#
        );
        assert_eq!(flow(&parsed(&written)), written);
    }
}
