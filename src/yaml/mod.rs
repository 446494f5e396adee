//! YAML as a person wrote it: a tree that keeps every place and the raw text of every scalar.
//!
//! Two things make this a room of our own. A run must show every mistake with its line and column, so nodes carry
//! spans. And Azure ML's own reader is PyYAML (YAML 1.1), where `yes` is true and `1e-3` is a string, so a scalar
//! stays text until somebody asks what PyYAML would have made of it ([`scalar`]).
//!
//! The events come from `saphyr-parser`. This room refuses to know what any key means: that is `language`'s. YAML that
//! is not a job (conda files, MLmodel) and all YAML that we write goes through `serde_yaml` instead.

mod lines;
pub mod overrides;
pub mod parse;
mod readable;
pub mod scalar;
pub mod write;

use crate::diagnostic::Span;

pub use parse::parse;
pub use scalar::Literal;

/// One node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
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

/// A scalar as written.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// Its text after folding and unescaping.
    pub text: String,
    /// Whether it had no quotes and is no block, so that YAML 1.1 may read it as something other than text.
    pub plain: bool,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Whether the key had no quotes, so that YAML 1.1 may read it as something other than text.
    pub key_plain: bool,
    /// Where the key stands.
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
            let text = scalar::python_repr(&entry.value);
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
