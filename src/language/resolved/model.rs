//! A document with everything in its place, value by value.

use std::path::PathBuf;

use crate::diagnostic::Span;
use crate::yaml::Literal;

/// A value with its origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What it is.
    pub what: What,
    /// Where it was written; `None` for a default.
    pub place: Option<Span>,
    /// The file whose content it is, when it was named there.
    pub content_of: Option<PathBuf>,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A scalar as PyYAML and the SDK hold it.
    Scalar(Literal),
    /// A list.
    List(Vec<Resolved>),
    /// A mapping.
    Map(Vec<(String, Resolved)>),
    /// A value that did not fit: its mistake has been reported.
    Unread,
}

impl Resolved {
    pub(super) fn text(text: &str, place: Option<Span>) -> Self {
        Self { what: What::Scalar(Literal::Str(text.to_owned())), place, content_of: None }
    }
}
