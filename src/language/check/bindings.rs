//! Expressions of nodes that are written in place: the SDK makes a component of each, looks up what its expressions
//! refer to, and refuses the ones that it cannot find (reference, sections 3.7 and 6.3).

use super::super::scalar;
use super::super::value::{Entry, Object, Value};
use super::nodes::{ByName, listed, named, nodes, under};
use crate::diagnostic::{Diagnostic, suggest};

/// Whether an expression of a value begins with a text.
pub(super) fn mentions(value: &Value, start: &str) -> bool {
    let path = value.object().and_then(|o| o.text("path"));
    value.text().or(path).is_some_and(|t| scalar::bindings(t).iter().any(|e| e.starts_with(start)))
}

/// Whether the SDK makes a component of the node.
fn in_place(node: &Object) -> bool {
    node.class.starts_with("Inline")
}

/// Checks the expressions of all nodes written in place.
pub(super) fn nodes_in_place(pipeline: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    let by_name = ByName::of(pipeline);
    for (index, (entry, node)) in nodes(pipeline).enumerate() {
        // Imports and exports run a component of Azure ML's own.
        let built_in = matches!(node.class, "InlineDataTransferImportNode" | "InlineDataTransferExportNode");
        if !in_place(node) || built_in {
            continue;
        }
        let at = under(path, &format!("jobs.{}", entry.key));
        for input in node.map("inputs") {
            if let Some(text) = input.value.text().filter(|t| is_input(t)) {
                let at = under(&at, &format!("inputs.{}", input.key));
                found.extend(input_fault(pipeline, &by_name, index, text, &input.value, &at));
            }
        }
        for output in node.map("outputs") {
            let Some(text) = output.value.text().filter(|t| t.starts_with("${{parent.outputs.") && t.ends_with("}}"))
            else {
                continue;
            };
            let name = text.split('.').nth(2).map(|n| n.trim_end_matches('}')).unwrap_or_default();
            if listed(pipeline, "outputs").is_some_and(|all| all.iter().all(|o| o.key != name)) {
                let message = format!("the pipeline has no output '{name}'");
                let at = under(&at, &format!("outputs.{}", output.key));
                found.push(unknown(message, name, pipeline.map("outputs"), &output.value, &at, "unknown-port"));
            }
        }
    }
}

fn is_input(text: &str) -> bool {
    (text.starts_with("${{parent.inputs.") || text.starts_with("${{parent.jobs.")) && text.ends_with("}}")
}

fn input_fault(
    pipeline: &Object,
    by_name: &ByName<'_>,
    index: usize,
    text: &str,
    value: &Value,
    at: &str,
) -> Option<Diagnostic> {
    let fault = |code: &'static str, message: String, help: &str| {
        Some(Diagnostic::error(code, value.span, message).at(at).help(help))
    };
    let Some(expression) = scalar::only_binding(text).filter(|e| !e.contains("}}")) else {
        return fault(
            "bad-expression",
            format!("'{text}' has several expressions, which an input of an inline node cannot have"),
            "move the command of the node into a component file, where inputs can have several expressions",
        );
    };
    if let Some(name) = expression.strip_prefix("parent.inputs.") {
        let known = listed(pipeline, "inputs")?;
        // The SDK looks only at the first part of the name.
        if !name.contains('.') && known.iter().any(|i| i.key == name) {
            return None;
        }
        return Some(unknown(format!("the pipeline has no input '{name}'"), name, known, value, at, "unknown-port"));
    }
    let parts: Vec<&str> = expression.split('.').collect();
    let ["parent", "jobs", node, side, port] = parts.as_slice() else {
        return fault(
            "bad-expression",
            format!("'${{{{{expression}}}}}' does not refer to an output of a node"),
            "write ${{parent.jobs.<node>.outputs.<output>}}",
        );
    };
    let Some((position, (entry, producer))) = by_name.find(node) else {
        // A node that could not be read is there all the same.
        let jobs = listed(pipeline, "jobs").filter(|jobs| jobs.iter().all(|j| j.key != *node))?;
        return Some(unknown(format!("the pipeline has no node '{node}'"), node, jobs, value, at, "unknown-job"));
    };
    if !matches!(*side, "inputs" | "outputs") {
        return fault(
            "bad-expression",
            format!("'{side}' of a node cannot be read: use 'inputs' or 'outputs'"),
            "write ${{parent.jobs.<node>.outputs.<output>}}",
        );
    }
    let later = position >= index;
    match producer.class {
        "IfElse" | "DoWhile" | "ParallelFor" => {
            return fault(
                "bad-expression",
                format!("'{node}' is a control flow node, which an inline node cannot read"),
                "move the command of the node into a component file",
            );
        }
        "InlineSparkNode" | "InlineImportNode" if later => {
            return fault(
                "bad-expression",
                format!("'{node}' is defined further down, and Azure ML reads the nodes of a pipeline in order"),
                "move '{node}' above the node that reads it",
            );
        }
        class if class.ends_with("Node") && super::super::grammar::grammar().class(class).is("AutoMLNode") => {
            return match *side {
                "outputs" => None,
                _ => fault(
                    "bad-expression",
                    format!("'{node}' is an AutoML node: only its outputs can be read"),
                    "write ${{parent.jobs.<node>.outputs.<output>}}",
                ),
            };
        }
        // Not yet made into a component: the SDK takes any name for a folder.
        class if in_place(producer) && later && class != "InlineDataTransferCopyNode" => return None,
        _ => {}
    }
    let ports = ports_of(producer, side);
    let ports = ports?;
    if ports.iter().any(|p| p.key == *port) {
        return None;
    }
    let one = side.trim_end_matches('s');
    let message = format!("the node '{node}' has no {one} '{port}'");
    Some(unknown(message, port, ports, value, at, "unknown-port").label(entry.key_span, "the node"))
}

/// The ports that can be bound: what the component declares, else what the node says.
fn ports_of<'a>(node: &'a Object, side: &str) -> Option<&'a [Entry]> {
    match named(node) {
        Some(component) => listed(component, side),
        None => listed(node, side),
    }
}

fn unknown(message: String, name: &str, known: &[Entry], value: &Value, at: &str, code: &'static str) -> Diagnostic {
    let fault = Diagnostic::error(code, value.span, message).at(at);
    match suggest::nearest(name, known.iter().map(|k| k.key.as_str())) {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None if known.is_empty() => fault.help("declare it, or remove the reference"),
        None => {
            let names: Vec<&str> = known.iter().map(|k| k.key.as_str()).collect();
            fault.help(format!("use one of: {}", names.join(", ")))
        }
    }
}
