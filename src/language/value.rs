//! A document that fits the grammar: every value in the form that Azure ML's SDK gives it, with its place.
//!
//! Where the author's text and the SDK's reading differ (`azureml:env:1` is kept as `env:1`, `Minimize` as `minimize`,
//! `"2"` as 2 in a field for integers), this is the SDK's reading. Nothing is filled in but the defaults of the grammar.

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::Span;
use crate::yaml::{Kind, Literal, Node};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its place; for a default, the place of the object that it belongs to.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

/// The kinds of values.
#[derive(Clone, Debug)]
pub enum Data {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer in decimal digits, of any size.
    Int(String),
    /// A binary64 number.
    Float(f64),
    /// Text.
    Text(String),
    /// A date or time as written: PyYAML makes an object of it that no field takes.
    Date(String),
    /// A list.
    List(Vec<Value>),
    /// A mapping with free keys.
    Map(Vec<Entry>),
    /// A mapping with the fields of a class.
    Object(Box<Object>),
    /// A value that did not fit: its mistake has been reported.
    Unread,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The place of the key.
    pub key_span: Span,
    /// The value.
    pub value: Value,
}

/// What fits a class.
#[derive(Clone, Debug)]
pub struct Object {
    /// The class's name in the grammar.
    pub class: &'static str,
    /// The fields that are there, and unknown ones where the class keeps them, in the order of the text.
    pub fields: Vec<Entry>,
    /// What was written though only the service fills it, such as the `name` of a component that a node names: the SDK
    /// drops it, but people know the object by it.
    pub passed_over: Vec<Entry>,
    /// The folder that relative paths in it start from.
    pub base: Arc<Path>,
    /// Whether it was written in place or in another file.
    pub origin: Origin,
    /// Whether fields are missing or misspelt: what is absent may only be hidden.
    pub damaged: bool,
}

/// Whether an object was written in place or in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written in place.
    Inline,
    /// Named as `file:<path>`.
    Prefixed(Arc<Path>),
    /// Named by its bare path.
    File(Arc<Path>),
}

impl Value {
    /// The text, when it is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// The object, when it is one.
    #[must_use]
    pub fn object(&self) -> Option<&Object> {
        match &self.data {
            Data::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The entries, when it is a mapping with free keys.
    #[must_use]
    pub fn map(&self) -> Option<&[Entry]> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, when it is a list.
    #[must_use]
    pub fn list(&self) -> Option<&[Value]> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// The boolean, when it is one.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self.data {
            Data::Bool(it) => Some(it),
            _ => None,
        }
    }

    /// Whether Python counts it as false: null, false, zero, and empty text, lists and mappings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.data {
            Data::Null => true,
            Data::Bool(it) => !it,
            Data::Int(digits) => digits == "0",
            Data::Float(it) => *it == 0.0,
            Data::Text(text) | Data::Date(text) => text.is_empty(),
            Data::List(items) => items.is_empty(),
            Data::Map(entries) => entries.is_empty(),
            Data::Object(_) | Data::Unread => false,
        }
    }

    /// The scalar as PyYAML and the SDK hold it; `None` for lists, mappings and objects.
    #[must_use]
    pub fn literal(&self) -> Option<Literal> {
        Some(match &self.data {
            Data::Null => Literal::Null,
            Data::Bool(it) => Literal::Bool(*it),
            Data::Int(digits) => Literal::Int(digits.clone()),
            Data::Float(it) => Literal::Float(*it),
            Data::Text(text) => Literal::Str(text.clone()),
            Data::Date(text) => Literal::Timestamp(text.clone()),
            _ => return None,
        })
    }

    /// Python's `str()` of it.
    #[must_use]
    pub fn python_str(&self) -> String {
        self.literal().map_or_else(|| self.python_repr(), |literal| literal.python_str())
    }

    /// Python's `repr()` of it.
    fn python_repr(&self) -> String {
        let pair = |e: &Entry| format!("{}: {}", quoted(&e.key), e.value.python_repr());
        match &self.data {
            Data::List(items) => format!("[{}]", items.iter().map(Self::python_repr).collect::<Vec<_>>().join(", ")),
            Data::Map(entries) => format!("{{{}}}", entries.iter().map(pair).collect::<Vec<_>>().join(", ")),
            Data::Object(object) => format!("{{{}}}", object.fields.iter().map(pair).collect::<Vec<_>>().join(", ")),
            Data::Text(text) => quoted(text),
            Data::Unread => String::new(),
            _ => self.python_str(),
        }
    }

    /// A node without a rule, as PyYAML reads it.
    #[must_use]
    pub fn plain(node: &Node) -> Self {
        let data = match &node.kind {
            Kind::Scalar(scalar) => match Literal::read(scalar) {
                Literal::Null => Data::Null,
                Literal::Bool(it) => Data::Bool(it),
                Literal::Int(digits) => Data::Int(digits),
                Literal::Float(it) => Data::Float(it),
                Literal::Timestamp(text) => Data::Date(text),
                Literal::Str(text) => Data::Text(text),
            },
            Kind::Sequence(items) => Data::List(items.iter().map(Self::plain).collect()),
            Kind::Mapping(entries) => Data::Map(
                entries
                    .iter()
                    .map(|e| Entry { key: e.key.clone(), key_span: e.key_span, value: Self::plain(&e.value) })
                    .collect(),
            ),
        };
        Self { span: node.span, data }
    }
}

/// A text as Python writes it in a list or mapping.
fn quoted(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    let escaped = if mark == '\'' { escaped.replace('\'', "\\'") } else { escaped };
    format!("{mark}{escaped}{mark}")
}

impl Object {
    /// A field's entry, unless it is absent.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.fields.iter().find(|e| e.key == name)
    }

    /// A field's value, unless it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entry(name).map(|e| &e.value).filter(|v| !v.is_null())
    }

    /// A field's text, unless it is absent or something else.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// The entries of a field that is a mapping with free keys; none when it is absent.
    #[must_use]
    pub fn map(&self, name: &str) -> &[Entry] {
        self.get(name).and_then(Value::map).unwrap_or_default()
    }

    /// The text of a scalar field that was read or passed over, a number as Python prints it.
    #[must_use]
    pub fn written(&self, name: &str) -> Option<String> {
        let passed_over = || self.passed_over.iter().find(|e| e.key == name).map(|e| &e.value);
        let value = self.get(name).or_else(passed_over).filter(|v| !v.is_null())?;
        value.literal().map(|l| l.python_str())
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        let at = self.fields.iter().position(|e| e.key == name)?;
        Some(self.fields.remove(at))
    }
}
