//! A node and the component that it refers to: where that comes from, and what the node takes over from it.

use serde_json::Value as Json;

use super::super::value::{Object, Origin, Value};
use super::fields::{is_empty, plain, without_empty};

/// The name of a component that is written in place or named by file.
pub(super) const ANONYMOUS: &str = "azureml_anonymous";

/// Where a component comes from, in the SDK's words.
pub(super) fn source(object: &Object) -> &'static str {
    match object.origin {
        Origin::File(_) => "YAML.COMPONENT",
        Origin::Inline | Origin::Prefixed(_) => "YAML.JOB",
    }
}

/// How local code is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Paths {
    /// As an absolute path.
    Absolute,
    /// As the author wrote it.
    AsWritten,
}

/// A field that a node takes over from its component when it has none.
pub(super) fn inherited<'a>(node: &'a Object, component: Option<&'a Object>, name: &str) -> Option<&'a Value> {
    node.get(name).filter(|v| !v.is_empty()).or_else(|| component.and_then(|c| c.get(name)))
}

/// A free mapping without nulls.
pub(super) fn mapping(value: Option<&Value>) -> Option<Json> {
    value.map(plain).map(without_empty).filter(|j| !is_empty(j))
}
