//! Where a binding or an address is written, and what kind of address it is.

use crate::diagnostic::Span;
use crate::spec::data_uri::DataUri;

/// Where a binding is written, for messages.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub span: Span,
    pub path: &'a str,
}

/// Whether an address names a datastore.
pub(super) fn is_datastore(uri: &DataUri) -> bool {
    matches!(uri, DataUri::Datastore { .. })
}
