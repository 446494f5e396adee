//! Documents as written: the jobs that amlrun runs, in typed form.
//!
//! [`take()`] takes over a file that [`crate::language`] has read and checked. A [`Document`] is exactly what the
//! author wrote, nothing resolved; `plan` finds out what it means. This module knows nothing of YAML, runs, stores and
//! processes. It only names registered assets ([`asset_ref`]); `plan` looks them up in the [`catalog::Catalog`].
//!
//! What this version does not run yet (other job kinds, other node kinds) is refused with a diagnostic, never ignored.

pub mod asset_ref;
pub mod catalog;
pub mod component;
pub mod control_flow;
pub mod data_transfer;
pub mod data_uri;
pub mod document;
pub mod environment;
pub mod expr;
pub mod io;
pub mod job;
pub mod parallel;
pub mod settings;
pub mod spark;
pub mod sweep;

use crate::diagnostic::Span;

pub(crate) use crate::language::resolved::is_secret;
pub use crate::yaml::Literal;
pub use document::{Document, Loaded, take};

/// A value and the place where it was written.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// Names and values in the order of the text: `environment_variables`, `tags`.
pub type Pairs<T> = Vec<(String, T)>;
