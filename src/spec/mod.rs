//! Documents as written: Azure ML's job and component YAML in typed form.
//!
//! [`load()`] reads a job file and the component files that it names, and collects every mistake with its place. What it
//! gives is a [`Document`]: exactly what the author said, nothing filled in, nothing resolved; `plan` finds out what it
//! means. This room knows Azure ML's schema (reference, sections 1-4) and local files. It refuses to know runs, stores
//! and processes; registered assets it only names ([`asset_ref`]), and whoever plans asks the [`catalog::Catalog`].
//!
//! What this version does not read yet (other job kinds, other node kinds) is refused with a diagnostic, never ignored.

pub mod asset_ref;
pub mod catalog;
pub mod component;
pub mod environment;
pub mod expr;
pub mod io;
pub mod job;
pub mod load;
pub mod settings;

use crate::diagnostic::Span;

pub use crate::yaml::Literal;
pub use load::{Document, Loaded, load, load_component};

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
