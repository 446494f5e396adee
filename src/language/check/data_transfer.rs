//! Data transfer nodes and components (reference, section 2.11): which ports they have, and of which types.
//!
//! The SDK checks the names of ports when it loads (`post_load`); the checks that come afterwards are here.

use super::super::value::{Entry, Object, Value};
use super::nodes::{listed, under};
use crate::diagnostic::Diagnostic;

/// The type of data that has none.
const FOLDER: &str = "uri_folder";

/// Checks a node and its key.
pub(super) fn node(object: &Object, entry: &Entry, at: &str, found: &mut Vec<Diagnostic>) {
    match object.class {
        "InlineDataTransferCopyNode" if object.map("outputs").len() > 1 => {
            let Some(outputs) = object.entry("outputs") else { return };
            let message = format!("a copy has exactly one output, found {}", object.map("outputs").len());
            found.push(Diagnostic::error("bad-value", outputs.key_span, message).at(under(at, "outputs")));
        }
        "InlineDataTransferImportNode" | "DataTransferImportNode" => {
            import(object, entry, at, found);
        }
        "InlineDataTransferExportNode" | "DataTransferExportNode" => {
            export(object, entry, at, found);
        }
        _ => {}
    }
}

/// Whether what is imported or exported is a database; `None` when it could not be read.
fn is_database(object: &Object, name: &str) -> Option<bool> {
    object.get(name).and_then(Value::object).map(|end| end.class == "Database")
}

fn import(object: &Object, entry: &Entry, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(database) = is_database(object, "source") else { return };
    let wanted = if database { "mltable" } else { FOLDER };
    let Some(outputs) = listed(object, "outputs") else { return };
    if outputs.is_empty() {
        // The SDK gives a node that names a component a sink of its own, a table.
        if object.class.starts_with("Inline") || !database {
            let message = "an import needs an output named 'sink'";
            let help = format!("write outputs: {{sink: {{type: {wanted}}}}}");
            let path = under(at, "outputs.sink");
            found.push(Diagnostic::error("missing-field", entry.key_span, message).at(path).help(help));
        }
        return;
    }
    let what = if database { "data from a database is imported" } else { "files are imported" };
    end_type(outputs, "outputs.sink", "sink", wanted, what, at, found);
}

fn export(object: &Object, entry: &Entry, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(database) = is_database(object, "sink") else { return };
    let wanted = if database { "uri_file" } else { FOLDER };
    let Some(inputs) = listed(object, "inputs") else { return };
    if inputs.is_empty() {
        let message = "an export needs an input named 'source'";
        let help = format!("write inputs: {{source: {{type: {wanted}, path: …}}}}");
        let path = under(at, "inputs.source");
        found.push(Diagnostic::error("missing-field", entry.key_span, message).at(path).help(help));
        return;
    }
    let what = if database { "data for a database is exported" } else { "files are exported" };
    end_type(inputs, "inputs.source", "source", wanted, what, at, found);
}

/// The one port of an import or export must have the type that belongs to the other end.
fn end_type(ports: &[Entry], path: &str, name: &str, wanted: &str, what: &str, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(port) = ports.iter().find(|p| p.key == name) else { return };
    let Some(data) = port.value.object().filter(|data| data.class != "InputLiteralValue") else { return };
    let kind = data.text("type").unwrap_or(FOLDER);
    if kind != wanted {
        let span = data.entry("type").map_or(port.key_span, |e| e.value.span);
        let message = format!("'{name}' is of type {kind}, but {what} as {wanted}");
        let fault = Diagnostic::error("bad-value", span, message).at(under(at, &format!("{path}.type")));
        found.push(fault.help(format!("write type: {wanted}")));
    }
}

/// Checks a component file that copies data: one output, of the type of the one input, or a folder for several.
pub(super) fn copy_component(object: &Object, found: &mut Vec<Diagnostic>) {
    let Some(whole) = object.fields.first().map(|f| f.key_span) else { return };
    if object.damaged {
        return;
    }
    let (inputs, outputs) = (object.map("inputs"), object.map("outputs"));
    let kind = |port: &Entry| port.value.object().and_then(|p| p.text("type")).unwrap_or_default().to_owned();
    let place = |name: &str| object.entry(name).map_or(whole, |e| e.key_span);
    let [output] = outputs else {
        if outputs.is_empty() {
            let message = "a copy needs an output";
            found.push(Diagnostic::error("missing-field", place("outputs"), message).at("outputs"));
        }
        return;
    };
    let fault = |message: String, help: &str| {
        let span = output.value.object().and_then(|o| o.entry("type")).map_or(output.key_span, |e| e.value.span);
        Diagnostic::error("bad-value", span, message).at("outputs").help(help)
    };
    let written = kind(output);
    match inputs {
        [] => {
            let message = "a copy needs at least one input";
            found.push(Diagnostic::error("missing-field", place("inputs"), message).at("inputs"));
        }
        [input] if kind(input) != written => found.push(fault(
            format!(
                "the output '{}' is of type {written}, but the input '{}' of type {}",
                output.key,
                input.key,
                kind(input)
            ),
            "use the same type for both",
        )),
        [_] => {}
        _ if written != FOLDER => found.push(fault(
            format!("the output '{}' is of type {written}, but copying several inputs needs a folder", output.key),
            "write type: uri_folder",
        )),
        _ => {}
    }
}
