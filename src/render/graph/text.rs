//! A graph as text: the nodes in the order in which they run, with their inputs and outputs. Nested pipelines are
//! indented.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::language::graph::{Edge, End, Graph, Link, Node, Port};

/// The whole graph.
pub(crate) fn draw(graph: &Graph) -> String {
    let mut out = format!("{} {}", graph.kind, graph.name.as_deref().unwrap_or("")).trim_end().to_owned();
    out.push('\n');
    let width = graph.inputs.iter().map(|i| i.name.len()).max().unwrap_or(0);
    for input in &graph.inputs {
        let kind = input.kind.as_deref().unwrap_or("?");
        let value = input.value.as_ref().map(|v| format!(" = {}", one_line(v))).unwrap_or_default();
        let _ = writeln!(out, "  {:width$}  {kind}{value}", input.name);
    }
    nodes(graph, "", &mut out);
    out
}

/// The nodes of a graph and its outputs. Each line begins with the prefix `left`.
fn nodes(graph: &Graph, left: &str, out: &mut String) {
    let inputs: HashMap<&str, &Port> = graph.inputs.iter().map(|p| (p.name.as_str(), p)).collect();
    let mut controls: HashMap<&str, Vec<&Edge>> = HashMap::new();
    let mut made: HashMap<&str, &End> = HashMap::new();
    for edge in &graph.edges {
        let owner = match edge.kind {
            Link::True | Link::False | Link::Body => edge.from.node.as_deref(),
            Link::Condition | Link::Next => edge.to.node.as_deref(),
            Link::Data | Link::Literal => None,
        };
        if let Some(owner) = owner {
            controls.entry(owner).or_default().push(edge);
        }
        if let (None, Some(port)) = (&edge.to.node, &edge.to.port) {
            made.insert(port, &edge.from);
        }
    }
    let given_away: Vec<(&Port, &End)> =
        graph.outputs.iter().filter_map(|p| Some((p, *made.get(p.name.as_str())?))).collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        let last = index + 1 == graph.nodes.len() && given_away.is_empty();
        let (knee, bar) = if last { ("└─", "  ") } else { ("├─", "│ ") };
        let _ = writeln!(out, "{left}{knee} {}{}", node.name, label(node));
        for input in node.inputs.iter().filter(|i| i.data) {
            if let Some(value) = &input.value {
                let _ = writeln!(out, "{left}{bar}    <- {} from {}", input.name, one_line(&shown(value, &inputs)));
            }
        }
        for edge in controls.get(node.name.as_str()).into_iter().flatten() {
            let _ = writeln!(out, "{left}{bar}    {}", control(edge, &inputs));
        }
        for output in &node.outputs {
            let asset = output.asset.as_ref().map(|a| format!(", registered as {}", one_line(a))).unwrap_or_default();
            let kind = output.kind.as_deref().unwrap_or("?");
            let _ = writeln!(out, "{left}{bar}    -> {} ({kind}{asset})", output.name);
        }
        if let Some(inside) = &node.inside {
            nodes(inside, &format!("{left}{bar} "), out);
        }
    }
    for (index, (output, from)) in given_away.iter().enumerate() {
        let knee = if index + 1 == given_away.len() { "└─" } else { "├─" };
        let _ = writeln!(out, "{left}{knee} output {} = {}", output.name, end(from, &inputs));
    }
}

/// What follows the name of a node: its kind unless it is a command, and its component.
fn label(node: &Node) -> String {
    let mut text = String::new();
    if node.kind != "command" {
        let note = node.note.as_ref().map(|n| format!(", {n}")).unwrap_or_default();
        let _ = write!(text, "  [{}{note}]", node.kind);
    }
    if let Some(component) = &node.component {
        let _ = write!(text, "  ({})", one_line(component));
    }
    text
}

fn control(edge: &Edge, inputs: &HashMap<&str, &Port>) -> String {
    match edge.kind {
        Link::Condition => format!("<- {} from {}", edge.to.port.as_deref().unwrap_or(""), end(&edge.from, inputs)),
        Link::Next => format!("next {} from {}", end(&edge.to, inputs), end(&edge.from, inputs)),
        kind => format!("=> {}: {}", kind.word(), end(&edge.to, inputs)),
    }
}

/// An end of an edge: `train.model`, or the value of a pipeline input.
fn end(end: &End, inputs: &HashMap<&str, &Port>) -> String {
    match (&end.node, &end.port) {
        (Some(node), Some(port)) => format!("{node}.{port}"),
        (Some(node), None) => node.clone(),
        (None, port) => {
            let name = port.as_deref().unwrap_or("");
            let value = inputs.get(name).and_then(|p| p.value.as_deref());
            value.map_or_else(|| format!("inputs.{name}"), one_line)
        }
    }
}

/// A value with its expressions replaced by the values that they refer to.
fn shown(value: &str, inputs: &HashMap<&str, &Port>) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((expression, behind)) = after.split_once("}}") else { break };
        text.push_str(before);
        let expression = expression.trim();
        match expression.strip_prefix("parent.inputs.") {
            Some(name) => {
                let from = End { node: None, port: Some(name.to_owned()) };
                text.push_str(&end(&from, inputs));
            }
            None => text.push_str(&expression.trim_start_matches("parent.jobs.").replacen(".outputs.", ".", 1)),
        }
        rest = behind;
    }
    text + rest
}

/// Text on one line, with control characters escaped.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '␣' } else { c }).collect()
}
