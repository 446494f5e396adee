//! The place in a document that is being read: where it is, what applies there, and what reading it gives.
//!
//! The readers of nodes, scalars and unions and the checks after loading share these types; none of them is used here.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::value::{Data, Value};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{self, Kind, Node};

/// What one attempt gives.
pub(super) type Read = Result<Value, Fault>;

/// A value that does not fit: every mistake in it, and what could be read of it.
pub(super) struct Fault {
    /// The mistakes.
    pub(super) all: Vec<Diagnostic>,
    /// The value with [`Data::Unread`] where the mistakes are, so that the rest can be looked at as well.
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
    /// Moves the mistakes into a list, and gives what could be read.
    pub(super) fn into(self, faults: &mut Vec<Diagnostic>, span: Span) -> Value {
        faults.extend(self.all);
        self.partial.unwrap_or(Value { span, data: Data::Unread })
    }
}

/// Where in the document's structure the walk is.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    up: Option<&'a Cursor<'a>>,
    key: &'a str,
    place: Option<Span>,
}

impl<'a> Cursor<'a> {
    /// The document itself.
    pub(super) const ROOT: Cursor<'static> = Cursor { up: None, key: "", place: None };

    /// What stands under a key.
    pub(super) fn key(&'a self, key: &'a str) -> Cursor<'a> {
        Cursor { up: Some(self), key, place: None }
    }

    /// What stands under a key that was written.
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

/// Whether `${{…}}` may stand for a value (reference, section 4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bindings {
    /// It may not.
    No,
    /// In all fields but `type`, `component`, `trial` and `inputs`.
    Node,
    /// In all fields.
    All,
}

/// What holds in the part of the document where the walk is.
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

/// The mistake of a value of another type.
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
