//! Control flow, a preview feature of Azure ML: conditions and loops, and the nodes that they control.

use super::super::scalar;
use super::super::value::{Data, Object, Value};
use super::model::{Edge, End, Link, source};

/// The edges of a node that controls others; none for other nodes.
pub(super) fn edges(name: &str, node: &Object, edges: &mut Vec<Edge>) {
    let here = |port: Option<&str>| End { node: Some(name.to_owned()), port: port.map(str::to_owned) };
    let body = node.get("body").and_then(controlled).into_iter().next();
    for key in ["condition", "items"] {
        let Some(text) = node.text(key) else { continue };
        let mut sources: Vec<End> = scalar::bindings(text).into_iter().filter_map(source).collect();
        // A loop may name an output of its body by its bare name.
        if sources.is_empty() && key == "condition" {
            sources.extend(body.as_ref().map(|body| End { node: body.node.clone(), port: Some(text.to_owned()) }));
        }
        let to = here(Some(key));
        edges.extend(sources.into_iter().map(|from| Edge { from, to: to.clone(), kind: Link::Condition }));
    }
    for (key, kind) in [("true_block", Link::True), ("false_block", Link::False), ("body", Link::Body)] {
        let Some(value) = node.get(key) else { continue };
        let blocks = value.list().unwrap_or(std::slice::from_ref(value));
        edges.extend(blocks.iter().filter_map(controlled).map(|to| Edge { from: here(None), to, kind }));
    }
    let Some(body) = body else { return };
    for entry in node.map("mapping") {
        let inputs = entry.value.list().unwrap_or(std::slice::from_ref(&entry.value));
        for input in inputs.iter().filter_map(Value::text) {
            let input = input.rsplit('.').next().unwrap_or(input).trim_end_matches("}}").trim();
            let from = End { node: body.node.clone(), port: Some(entry.key.clone()) };
            edges.push(Edge { from, to: End { port: Some(input.to_owned()), ..body.clone() }, kind: Link::Next });
        }
    }
}

/// How often a loop runs, in words.
pub(super) fn note(node: &Object) -> Option<String> {
    let items = match &node.get("items").map(|v| &v.data) {
        Some(Data::List(items)) => Some(items.len()),
        Some(Data::Map(entries)) => Some(entries.len()),
        Some(_) => return Some("for each item".to_owned()),
        None => None,
    };
    if let Some(count) = items {
        return Some(format!("for each of {count} item{}", if count == 1 { "" } else { "s" }));
    }
    let limits = node.get("limits").and_then(Value::object).filter(|o| o.class == "DoWhileLimits")?;
    limits.written("max_iteration_count").map(|most| format!("up to {most} times"))
}

/// The node that `${{parent.jobs.<node>}}` names.
fn controlled(value: &Value) -> Option<End> {
    let node = scalar::only_binding(value.text()?)?.strip_prefix("parent.jobs.")?;
    Some(End { node: Some(node.to_owned()), port: None })
}
