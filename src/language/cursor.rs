//! The place in a document that is being read: where it is, what applies there, and what reading it gives.
//!
//! The readers of nodes, scalars and unions and the checks after loading share these types.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::value::{Data, Value};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{self, Kind, Node};

/// The result of one attempt to read a node.
pub(super) type Read = Result<Value, Fault>;

/// A value that does not fit: every mistake in it, and the part that could be read.
pub(super) struct Fault {
    /// The mistakes.
    pub(super) all: Vec<Diagnostic>,
    /// The value with [`Data::Unread`] where the mistakes are, so that the rest can be checked as well.
    pub(super) partial: Option<Value>,
}

impl From<Vec<Diagnostic>> for Fault {
    fn from(all: Vec<Diagnostic>) -> Self {
        Self { all, partial: None }
    }
}

impl From<Diagnostic> for Fault {
    fn from(one: Diagnostic) -> Self {
        vec![one].into()
    }
}

impl Fault {
    /// Moves the mistakes into a list, and returns the part that could be read.
    pub(super) fn into(self, faults: &mut Vec<Diagnostic>, span: Span) -> Value {
        faults.extend(self.all);
        self.partial.unwrap_or(Value { span, data: Data::Unread })
    }
}

/// The path of the node that is being read, as a chain of keys.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    up: Option<&'a Cursor<'a>>,
    key: &'a str,
    place: Option<Span>,
}

impl<'a> Cursor<'a> {
    /// The document itself.
    pub(super) const ROOT: Cursor<'static> = Cursor { up: None, key: "", place: None };

    /// The value under a key.
    pub(super) fn key(&'a self, key: &'a str) -> Cursor<'a> {
        Cursor { up: Some(self), key, place: None }
    }

    /// The value of an entry, with the place of its key.
    pub(super) fn entry(&'a self, entry: &'a yaml::Entry) -> Cursor<'a> {
        Cursor { up: Some(self), key: &entry.key, place: Some(entry.key_span) }
    }

    /// Where the key was written.
    pub(super) fn place(&self) -> Option<Span> {
        self.place
    }
}

impl fmt::Display for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.up {
            None => f.write_str(self.key),
            Some(up) if up.up.is_none() && up.key.is_empty() => f.write_str(self.key),
            Some(up) => write!(f, "{up}.{}", self.key),
        }
    }
}

/// Where a value may be a binding, `${{…}}` (reference, section 4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bindings {
    /// Nowhere.
    No,
    /// In all fields but `type`, `component`, `trial` and `inputs`.
    Node,
    /// In all fields.
    All,
}

/// The settings of the part of the document that is being read.
#[derive(Clone)]
pub(super) struct Scope {
    /// The folder of the file.
    pub(super) base: Arc<Path>,
    /// Whether bindings are allowed.
    pub(super) bindings: Bindings,
}

/// The last key of a place, for messages.
pub(super) fn last<'a>(at: Cursor<'a>) -> &'a str {
    if at.key.is_empty() { "the document" } else { at.key }
}

/// What a value is called in messages: `'epochs'`, `an item of 'enum'`.
fn called(at: Cursor<'_>) -> String {
    match at.up {
        Some(list) if !at.key.is_empty() && at.place.is_none() && at.key.bytes().all(|b| b.is_ascii_digit()) => {
            format!("an item of '{}'", last(*list))
        }
        _ => format!("'{}'", last(at)),
    }
}

/// The diagnostic of a value of the wrong type.
pub(super) fn wrong_type(node: &Node, at: Cursor<'_>, wanted: &str) -> Vec<Diagnostic> {
    let message = format!("{} must be {wanted}, but is {}", called(at), node.describe());
    let fault = Diagnostic::error("wrong-type", node.span, message).at(at.to_string());
    let written = match &node.kind {
        Kind::Scalar(scalar) if scalar.plain && !node.is_null() => Some(&scalar.text),
        _ => None,
    };
    vec![match written.filter(|_| wanted.split([',', ' ']).any(|word| word == "string")) {
        Some(text) => fault.help(format!("put it in quotes: \"{text}\"")),
        None => fault,
    }]
}
