//! The graph of a document: its nodes, what they hand on, and the boxes that nested pipelines are.
//!
//! Facts only, for any job or component: `amlrun graph` draws them. Nothing is asked of a workspace, and a document with
//! mistakes has the graph of what could be read of it: an edge whose end is not there is left out. `ports` tells what goes
//! in and out, `control` what loops and conditions say of other nodes.

mod control;
mod order;
mod ports;

use std::collections::HashSet;

use serde::Serialize;

use super::check::{named, nodes};
use super::grammar::grammar;
use super::value::{Object, Value};
use super::{leaf, words};

/// A pipeline, or the one node that another job or component is.
#[derive(Clone, Debug, Serialize)]
pub struct Graph {
    /// What it is: `pipeline`, `command component` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name for people.
    pub name: Option<String>,
    /// What goes in.
    pub inputs: Vec<Port>,
    /// What comes out.
    pub outputs: Vec<Port>,
    /// The nodes, each after those that it waits for; nodes of a circle come last, as written.
    pub nodes: Vec<Node>,
    /// What is handed on, node by node in their order.
    pub edges: Vec<Edge>,
}

/// An input or an output.
#[derive(Clone, Debug, Serialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its type; `None` when only the service knows it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Whether it is files, not a literal value.
    pub data: bool,
    /// What is given to an input, its expressions as they stand; a local path as it is seen from the current folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The asset that an output becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
}

/// A node of a pipeline.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The component that it runs, as `name:version` or as it refers to it; `None` for a node written in place.
    pub component: Option<String>,
    /// What the node says of the nodes that it controls: `up to 5 times`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it is given, in the order of the component's declaration.
    pub inputs: Vec<Port>,
    /// What it makes.
    pub outputs: Vec<Port>,
    /// The pipeline inside.
    #[serde(rename = "graph", skip_serializing_if = "Option::is_none")]
    pub inside: Option<Graph>,
}

/// One end of an edge. Without a node it is an input or output of the pipeline itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct End {
    /// The node.
    pub node: Option<String>,
    /// Its input or output; `None` for the node as a whole.
    pub port: Option<String>,
}

/// Something that is handed on.
#[derive(Clone, Debug, Serialize)]
pub struct Edge {
    /// Where it comes from.
    pub from: End,
    /// Where it goes.
    pub to: End,
    /// What it is.
    pub kind: Link,
}

/// What an edge hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Files.
    Data,
    /// A literal value.
    Literal,
    /// What a condition or a loop looks at.
    Condition,
    /// The node that runs when a condition is true.
    True,
    /// The node that runs when it is false.
    False,
    /// The node that a loop repeats.
    Body,
    /// What the next round of a loop takes over.
    Next,
}

impl Link {
    /// Whether one node tells another to run.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::True | Self::False | Self::Body)
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Literal => "literal",
            Self::Condition => "condition",
            Self::True => "true",
            Self::False => "false",
            Self::Body => "body",
            Self::Next => "next",
        }
    }
}

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
            let kind = words::class(class);
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
            let sources = leaf::bindings(input.value.as_deref().unwrap_or_default()).into_iter().filter_map(source);
            edges.extend(sources.map(|from| Edge { from, to: to.clone(), kind }));
        }
        control::edges(&entry.key, node, &mut edges);
        edges.extend(given_away(&entry.key, node));
        edges.retain(|e| [&e.from, &e.to].iter().all(|end| end.node.as_deref().is_none_or(|n| names.contains(n))));
        all.push((drawn, edges));
    }
    let (nodes, edges): (Vec<Node>, Vec<Vec<Edge>>) = order::sorted(all).into_iter().unzip();
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

/// The `type` of a job, node or component; the class tells it where it was left out.
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
    words::snake_case(bare)
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

/// What an expression leads to, when that is an input of the pipeline or an output of a node.
fn source(expression: &str) -> Option<End> {
    if let Some(name) = expression.strip_prefix("parent.inputs.") {
        return Some(End { node: None, port: Some(name.to_owned()) });
    }
    let (node, port) = expression.strip_prefix("parent.jobs.")?.split_once(".outputs.")?;
    Some(End { node: Some(node.to_owned()), port: Some(port.to_owned()) })
}

/// The outputs of a node that are outputs of the pipeline.
fn given_away(name: &str, node: &Object) -> Vec<Edge> {
    let mut edges = Vec::new();
    for output in node.map("outputs") {
        let text = output.value.text().or_else(|| output.value.object().and_then(|o| o.text("path")));
        let Some(to) = text.and_then(leaf::only_binding).and_then(|e| e.strip_prefix("parent.outputs.")) else {
            continue;
        };
        let from = End { node: Some(name.to_owned()), port: Some(output.key.clone()) };
        edges.push(Edge { from, to: End { node: None, port: Some(to.to_owned()) }, kind: Link::Data });
    }
    edges
}
