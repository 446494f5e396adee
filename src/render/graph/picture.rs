//! What every picture of a graph shows: nodes, clusters with their ports, and edges between them.

use std::collections::HashSet;

use crate::language::graph::{Edge, End, Graph, Link, Node};

/// An end of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A node, or a cluster as a whole, by its path: the names of the pipelines around it and its own, joined by dots.
    Node(String),
    /// An input of a cluster, or of the whole picture if the cluster's name is empty.
    Input(String, String),
    /// An output of one.
    Output(String, String),
}

/// An edge of a picture.
pub(super) struct Line {
    /// Where it begins.
    pub from: Place,
    /// Where it ends.
    pub to: Place,
    /// Its label.
    pub words: String,
    /// Whether it only controls what runs, and passes no data.
    pub control: bool,
}

/// The path of a node, as its id.
pub(super) fn path(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

/// The label of a node: its name, and its kind unless it is a command.
pub(super) fn words(node: &Node) -> Vec<String> {
    let mut lines = vec![node.name.clone()];
    if node.kind != "command" {
        lines.push(node.kind.clone());
    }
    lines.extend(node.note.clone());
    lines
}

/// The inputs and outputs of a cluster: its data, and everything else that has an edge. Literal values are left out,
/// because their edges would cover the picture.
pub(super) fn gates<'a>(graph: &'a Graph, given: &HashSet<&'a str>, taken: &HashSet<&'a str>) -> Gates<'a> {
    let mut gates = Gates::default();
    let inside = || graph.edges.iter().filter(|e| e.kind != Link::Literal);
    let declared = graph.inputs.iter().filter(|p| p.data).map(|p| p.name.as_str());
    let read = inside().filter(|e| e.from.node.is_none()).filter_map(|e| e.from.port.as_deref());
    gates.inputs = once(declared.chain(read).chain(sorted(given)));
    let declared = graph.outputs.iter().map(|p| p.name.as_str());
    let made = inside().filter(|e| e.to.node.is_none()).filter_map(|e| e.to.port.as_deref());
    gates.outputs = once(declared.chain(made).chain(sorted(taken)));
    gates
}

/// The ports of a cluster, by name.
#[derive(Default)]
pub(super) struct Gates<'a> {
    /// Its inputs.
    pub inputs: Vec<&'a str>,
    /// Its outputs.
    pub outputs: Vec<&'a str>,
}

/// The ports of the clusters of a graph, in the order of its nodes. `None` for nodes that are not clusters.
pub(super) fn boxes(graph: &Graph) -> Vec<Option<(&Graph, Gates<'_>)>> {
    let mut given: std::collections::HashMap<&str, (HashSet<&str>, HashSet<&str>)> = std::collections::HashMap::new();
    for edge in graph.edges.iter().filter(|e| e.kind != Link::Literal) {
        if let (Some(node), Some(port)) = (&edge.to.node, &edge.to.port) {
            given.entry(node).or_default().0.insert(port);
        }
        if let (Some(node), Some(port)) = (&edge.from.node, &edge.from.port) {
            given.entry(node).or_default().1.insert(port);
        }
    }
    let none = (HashSet::new(), HashSet::new());
    let of = |node: &'_ Node| given.get(node.name.as_str()).cloned().unwrap_or_else(|| none.clone());
    let all = graph.nodes.iter().map(|node| {
        let inside = node.inside.as_ref()?;
        let (inputs, outputs) = of(node);
        Some((inside, gates(inside, &inputs, &outputs)))
    });
    all.collect()
}

/// The edges of a graph. `above` is its own path.
pub(super) fn lines(graph: &Graph, above: &str) -> Vec<Line> {
    let boxes: HashSet<&str> = graph.nodes.iter().filter(|n| n.inside.is_some()).map(|n| n.name.as_str()).collect();
    let place = |end: &End, begins: bool| {
        let port = end.port.clone().unwrap_or_default();
        let Some(node) = &end.node else {
            // Inside a graph, edges begin at its inputs and end at its outputs. For a nested cluster it is the other
            // way around.
            let above = above.to_owned();
            return if begins { Place::Input(above, port) } else { Place::Output(above, port) };
        };
        let full = path(above, node);
        match (end.port.is_some() && boxes.contains(node.as_str()), begins) {
            (false, _) => Place::Node(full),
            (true, true) => Place::Output(full, port),
            (true, false) => Place::Input(full, port),
        }
    };
    let drawn = graph.edges.iter().filter(|e| e.kind != Link::Literal);
    drawn
        .map(|edge| Line {
            from: place(&edge.from, true),
            to: place(&edge.to, false),
            words: label(edge),
            control: edge.kind.is_control(),
        })
        .collect()
}

/// The label of an edge. Two different names are joined with `→`.
fn label(edge: &Edge) -> String {
    if edge.kind.is_control() {
        return edge.kind.word().to_owned();
    }
    let (from, to) = (edge.from.port.as_deref().unwrap_or(""), edge.to.port.as_deref().unwrap_or(""));
    let names = if from == to { from.to_owned() } else { format!("{from} → {to}") };
    if edge.kind == Link::Next { format!("next: {names}") } else { names }
}

fn once<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

fn sorted<'a>(names: &HashSet<&'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.iter().copied().collect();
    names.sort_unstable();
    names
}
