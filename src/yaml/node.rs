//! The tree: nodes with their places, and scalars that stay text until a type is needed.

use super::scalar::{Literal, Scalar};
use crate::diagnostic::Span;

/// One node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its place.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// The three shapes of a YAML node.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text with no shape yet.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the text; a key that occurs twice has its last value, as in PyYAML.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Whether the key had no quotes, so that YAML 1.1 may read it as something other than text.
    pub key_plain: bool,
    /// The place of the key.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Entry {
    /// What PyYAML makes of the key.
    #[must_use]
    pub fn key_literal(&self) -> Literal {
        Literal::read(&Scalar { text: self.key.clone(), plain: self.key_plain })
    }
}

impl Node {
    /// How many nodes it holds, itself included.
    #[must_use]
    pub fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar(_) => 0,
            Kind::Sequence(items) => items.iter().map(Self::size).sum(),
            Kind::Mapping(entries) => entries.iter().map(|e| e.value.size()).sum(),
        }
    }

    /// What PyYAML makes of this node when it is a scalar.
    #[must_use]
    pub fn literal(&self) -> Option<Literal> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(Literal::read(scalar)),
            _ => None,
        }
    }

    /// The text, when the node is a scalar that PyYAML reads as a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) if matches!(Literal::read(scalar), Literal::Str(_)) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether PyYAML reads it as `None`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.literal(), Some(Literal::Null))
    }

    /// The entries, when the node is a mapping.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under a key, when the node is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// Takes a key out when its value is null.
    pub fn drop_null(&mut self, key: &str) {
        if let Kind::Mapping(entries) = &mut self.kind {
            entries.retain(|e| e.key != key || !e.value.is_null());
        }
    }

    /// Turns the value of a key into its Python `str()` when it is a list or a mapping with something in it.
    pub fn stringify(&mut self, key: &str) {
        let Kind::Mapping(entries) = &mut self.kind else { return };
        let Some(entry) = entries.iter_mut().find(|e| e.key == key) else { return };
        let filled = match &entry.value.kind {
            Kind::Sequence(items) => !items.is_empty(),
            Kind::Mapping(entries) => !entries.is_empty(),
            Kind::Scalar(_) => false,
        };
        if filled {
            let text = python_repr(&entry.value);
            entry.value.kind = Kind::Scalar(Scalar { text, plain: false });
        }
    }

    /// What the node is, for messages: `a mapping`, `a list`, `a number` …
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Mapping(_) => "a mapping",
            Kind::Sequence(_) => "a list",
            Kind::Scalar(scalar) => Literal::read(scalar).describe(),
        }
    }
}

/// Python's `repr()` of a node: what its `str()` gives for a list or a mapping.
fn python_repr(node: &Node) -> String {
    let quoted = |text: &str| {
        let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
        let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace(quote, &format!("\\{quote}"));
        format!("{quote}{escaped}{quote}")
    };
    let literal = |literal: &Literal| match literal {
        Literal::Str(text) => quoted(text),
        other => other.python_str(),
    };
    match &node.kind {
        Kind::Scalar(scalar) => literal(&Literal::read(scalar)),
        Kind::Sequence(items) => format!("[{}]", items.iter().map(python_repr).collect::<Vec<_>>().join(", ")),
        Kind::Mapping(entries) => {
            let pairs = entries.iter().map(|e| format!("{}: {}", literal(&e.key_literal()), python_repr(&e.value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}
