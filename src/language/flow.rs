//! Prompt flows in pipelines: a parallel node may name a flow, or a run of one, instead of a component.
//!
//! The SDK reads a few fields of such a file and drops the others, including `inputs` and `outputs`: every flow has the
//! same ports, and takes any further input as the mapping of a column.

use super::cursor::{Cursor, Scope};
use super::grammar::grammar;
use super::value::Object;
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Entry, Kind, Node, Scalar};

/// The schema by which the SDK recognises a flow; it must match exactly.
const FLOW: &str = "https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json";
const RUN: &str = "https://azuremlschemas.azureedge.net/promptflow/latest/Run.schema.json";
/// The file that makes a folder a flow.
const DEFINITION: &str = "flow.dag.yaml";

/// The class of a flow or of a run of one; `None` for every other file.
pub(super) fn class(root: &Node) -> Option<&'static str> {
    match root.get("$schema").and_then(Node::as_str) {
        _ if root.get("type").is_some_and(|tag| !tag.is_null() && tag.as_str() != Some("promptflow_parallel")) => None,
        Some(FLOW) => Some("FlowDag"),
        Some(RUN) => Some("FlowRun"),
        _ => None,
    }
}

/// Whether a component is a flow: it takes inputs that it does not declare.
pub(super) fn is_flow(component: &Object) -> bool {
    grammar().class(component.class).is("Flow")
}

/// A flow as a component: the fields that are read, and the ports that every flow has.
pub(super) fn as_component(root: &Node, class: &str) -> Node {
    let span = root.span;
    let mut entries = root.as_mapping().unwrap_or_default().to_vec();
    entries.retain(|entry| {
        grammar().class(class).field(&entry.key).is_some() && entry.key != "inputs" && entry.key != "outputs"
    });
    let folder = || vec![entry("type", scalar("uri_folder", span))];
    let mut earlier = folder();
    earlier.push(entry("optional", scalar("true", span)));
    let inputs = vec![entry("data", mapping(folder(), span)), entry("flow_outputs", mapping(earlier, span))];
    let outputs = ["flow_outputs", "debug_info"].map(|name| entry(name, mapping(folder(), span)));
    entries.push(entry("inputs", mapping(inputs, span)));
    entries.push(entry("outputs", mapping(outputs.to_vec(), span)));
    mapping(entries, span)
}

fn scalar(text: &str, span: Span) -> Node {
    Node { span, kind: Kind::Scalar(Scalar { text: text.to_owned(), plain: true }) }
}

fn mapping(entries: Vec<Entry>, span: Span) -> Node {
    Node { span, kind: Kind::Mapping(entries) }
}

fn entry(key: &str, value: Node) -> Entry {
    Entry { key: key.to_owned(), key_plain: true, key_span: value.span, value }
}

/// A run names a flow by its file, or by the folder that holds its definition.
pub(super) fn definition(run: &Object, at: Cursor<'_>, scope: &Scope) -> Vec<Diagnostic> {
    let Some((flow, text)) = run.get("flow").and_then(|flow| Some((flow, flow.text()?))) else { return Vec::new() };
    let path = scope.base.join(text);
    if !path.is_dir() || path.join(DEFINITION).is_file() {
        return Vec::new();
    }
    let message = format!("the folder '{text}' is not a flow: it has no {DEFINITION}");
    let fault = Diagnostic::error("missing-path", flow.span, message).at(at.key("flow").to_string());
    vec![fault.help(format!("use a folder with a {DEFINITION}, or the file of a flow"))]
}
