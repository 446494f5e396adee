//! Where a value came from.

use std::borrow::Cow;

use crate::diagnostic::{Sources, Span};

/// Where a value came from.
pub(super) enum Origin<'a> {
    /// A file and a place in it.
    File(Cow<'a, str>, Span),
    /// The command line.
    Set,
    /// Azure ML's default.
    Default,
}

pub(super) fn find(place: Option<Span>, sources: &Sources) -> Origin<'_> {
    match place.and_then(|span| Some((sources.get(span.source)?, span))) {
        Some((source, span)) if source.is_file() => Origin::File(source.path.to_string_lossy(), span),
        Some(_) => Origin::Set,
        None => Origin::Default,
    }
}
