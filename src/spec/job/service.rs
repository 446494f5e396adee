//! A standalone job that only a service runs: automl, finetuning and the like. Here a substitute can be used instead.

use super::common::Common;
use crate::diagnostic::{Diagnostic, Span};
use crate::language::value::Object;
use crate::spec::io::{self, Output};

/// A job of a kind that is not run on this machine.
#[derive(Clone, Debug)]
pub struct ServiceJob {
    /// Name, tags and the like.
    pub common: Common,
    /// Its `type`.
    pub kind: String,
    /// Where to point.
    pub span: Span,
    /// Its outputs.
    pub outputs: Vec<Output>,
}

pub(super) fn of(object: &Object, kind: &str, span: Span, found: &mut Vec<Diagnostic>) -> ServiceJob {
    let outputs = io::outputs(object.map("outputs"));
    ServiceJob { common: Common::of(object, found), kind: kind.to_owned(), span, outputs }
}
