//! What the SDK validates after a document is loaded.

use super::value::Object;
use crate::diagnostic::Diagnostic;

/// Checks a document.
pub(super) fn document(object: &Object, found: &mut Vec<Diagnostic>) {
    let _ = (object, found);
}
