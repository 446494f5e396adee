//! The graph of a document: its nodes, the edges between them, and nested pipelines as graphs inside nodes.
//!
//! It works for any job or component and needs no workspace; `amlrun graph` draws it. A document with mistakes has the
//! graph of the part that could be read: an edge without one of its ends is left out. `ports` finds inputs and outputs,
//! `control` the edges of loops and conditions.

mod control;
mod model;
mod ports;
mod toposort;

use std::collections::HashSet;

pub use model::{Edge, End, Graph, Link, Node, Port};

use super::check::{named, nodes};
use super::grammar::grammar;
use super::value::{Object, Value};
use super::{case, describe, scalar};
use model::source;

/// The graph of a document; `None` for assets and datastores, which have none.
#[must_use]
pub fn of(object: &Object) -> Option<Graph> {
    let is_job = grammar().class(object.class).is("BaseJob");
    match object.class {
        "PipelineJob" => {
            let body = object.get("component").and_then(Value::object).unwrap_or(object);
            let inputs = ports::of_job(object, body);
            Some(pipeline("pipeline", object, body, inputs))
        }
        "PipelineComponent" => Some(pipeline("pipeline component", object, object, ports::declared(object))),
        class if is_job || class.starts_with("AutoML") || ["Image", "Text"].iter().any(|w| class.starts_with(w)) => {
            Some(alone(object, kind(object), ports::of_job(object, object)))
        }
        class if class.ends_with("Component") => {
            let kind = describe::class(class);
            let kind = kind.split_once(' ').map_or(kind.as_str(), |(_, words)| words).to_owned();
            Some(alone(object, kind, ports::declared(object)))
        }
        _ => None,
    }
}

/// A document that is one node.
fn alone(object: &Object, kind: String, inputs: Vec<Port>) -> Graph {
    let outputs = ports::outputs(object, None);
    let job = grammar().class(object.class).is("BaseJob");
    let name = object.text("display_name").map(str::to_owned).or_else(|| object.written("name").filter(|_| !job));
    let end = |node: Option<&str>, port: &str| End { node: node.map(str::to_owned), port: Some(port.to_owned()) };
    let link = |port: &Port| if port.data { Link::Data } else { Link::Literal };
    let taken = inputs.iter().map(|p| Edge { from: end(None, &p.name), to: end(Some("main"), &p.name), kind: link(p) });
    let made = outputs.iter().map(|p| Edge { from: end(Some("main"), &p.name), to: end(None, &p.name), kind: link(p) });
    let edges = taken.chain(made).collect();
    let given = |p: &Port| Port { value: Some(format!("${{{{parent.inputs.{}}}}}", p.name)), ..p.clone() };
    let node = Node {
        name: "main".to_owned(),
        kind: self::kind(object),
        component: None,
        note: None,
        inputs: inputs.iter().map(given).collect(),
        outputs: outputs.clone(),
        inside: None,
    };
    Graph { kind, name, inputs, outputs, nodes: vec![node], edges }
}

/// A pipeline: `object` is known by its name, `body` has the nodes.
fn pipeline(kind: &str, object: &Object, body: &Object, inputs: Vec<Port>) -> Graph {
    let job = object.class == "PipelineJob";
    let name = object.text("display_name").map(str::to_owned).or_else(|| object.written("name").filter(|_| !job));
    let outputs = ports::outputs(body, None);
    let names: HashSet<&str> = nodes(body).map(|(entry, _)| entry.key.as_str()).collect();
    let data: HashSet<&str> = inputs.iter().filter(|p| p.data).map(|p| p.name.as_str()).collect();
    let mut all: Vec<(Node, Vec<Edge>)> = Vec::new();
    for (entry, node) in nodes(body) {
        let drawn = self::node(&entry.key, node, &data);
        let mut edges = Vec::new();
        for input in &drawn.inputs {
            let kind = if input.data { Link::Data } else { Link::Literal };
            let to = End { node: Some(entry.key.clone()), port: Some(input.name.clone()) };
            let sources = scalar::bindings(input.value.as_deref().unwrap_or_default()).into_iter().filter_map(source);
            edges.extend(sources.map(|from| Edge { from, to: to.clone(), kind }));
        }
        control::edges(&entry.key, node, &mut edges);
        edges.extend(given_away(&entry.key, node));
        edges.retain(|e| [&e.from, &e.to].iter().all(|end| end.node.as_deref().is_none_or(|n| names.contains(n))));
        all.push((drawn, edges));
    }
    let (nodes, edges): (Vec<Node>, Vec<Vec<Edge>>) = toposort::sorted(all).into_iter().unzip();
    let kind = kind.to_owned();
    Graph { kind, name, inputs, outputs, nodes, edges: edges.into_iter().flatten().collect() }
}

fn node(name: &str, node: &Object, data: &HashSet<&str>) -> Node {
    let component = named(node);
    let inside = component.filter(|c| c.class.ends_with("PipelineComponent"));
    Node {
        name: name.to_owned(),
        kind: kind(node),
        component: label(node, component),
        note: control::note(node),
        inputs: ports::given(node, component, data),
        outputs: ports::outputs(node, component),
        inside: inside.map(|inner| pipeline("pipeline", inner, inner, ports::declared(inner))),
    }
}

/// The `type` of a job, node or component; its class decides where it was left out.
fn kind(object: &Object) -> String {
    if let Some(kind) = object.text("type") {
        return kind.to_owned();
    }
    let class = grammar().class(object.class);
    if class.is("AutoMLNode") || object.class.starts_with("AutoML") {
        return "automl".to_owned();
    }
    let bare = object.class.trim_start_matches("Anonymous").trim_start_matches("Inline");
    let bare = ["Node", "Job", "Component"].iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(bare);
    case::snake_case(bare)
}

/// What a node runs, for people.
fn label(node: &Object, component: Option<&Object>) -> Option<String> {
    if let Some(component) = component {
        let name = component.written("name").or_else(|| component.text("display_name").map(str::to_owned))?;
        return Some(component.written("version").map_or(name.clone(), |version| format!("{name}:{version}")));
    }
    let reference = node.text("component").or_else(|| node.text("trial"));
    reference.or_else(|| node.text("task")).map(str::to_owned)
}

/// The outputs of a node that are outputs of the pipeline.
fn given_away(name: &str, node: &Object) -> Vec<Edge> {
    let mut edges = Vec::new();
    for output in node.map("outputs") {
        let text = output.value.text().or_else(|| output.value.object().and_then(|o| o.text("path")));
        let Some(to) = text.and_then(scalar::only_binding).and_then(|e| e.strip_prefix("parent.outputs.")) else {
            continue;
        };
        let from = End { node: Some(name.to_owned()), port: Some(output.key.clone()) };
        edges.push(Edge { from, to: End { node: None, port: Some(to.to_owned()) }, kind: Link::Data });
    }
    edges
}
