//! Where a value of a resolved document came from.

use crate::diagnostic::{Sources, Span};

/// Where a value came from.
pub(super) enum ValueOrigin<'a> {
    /// A file and a position in it.
    File(std::borrow::Cow<'a, str>, Span),
    /// The command line.
    Set,
    /// The default value.
    Default,
}

pub(super) fn origin_of(place: Option<Span>, sources: &Sources) -> ValueOrigin<'_> {
    match place.and_then(|span| Some((sources.get(span.source)?, span))) {
        Some((source, span)) if source.is_file() => ValueOrigin::File(source.path.to_string_lossy(), span),
        Some(_) => ValueOrigin::Set,
        None => ValueOrigin::Default,
    }
}
