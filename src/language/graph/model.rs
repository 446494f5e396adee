//! What a graph is made of: nodes, ports and edges.

use serde::Serialize;

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
    /// The nodes, each after those that it waits for; nodes of a cycle come last, as written.
    pub nodes: Vec<Node>,
    /// The edges, node by node in their order.
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
    /// What is given to an input, with its expressions; a local path is relative to the current folder.
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

/// A value or file that goes from one end to another, or a control dependency.
#[derive(Clone, Debug, Serialize)]
pub struct Edge {
    /// Where it comes from.
    pub from: End,
    /// Where it goes.
    pub to: End,
    /// What it is.
    pub kind: Link,
}

/// The kind of an edge.
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
    /// An output that the next iteration of a loop gets as input.
    Next,
}

impl Link {
    /// Whether it means that one node makes another run.
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

/// What an expression leads to, when that is an input of the pipeline or an output of a node.
pub(super) fn source(expression: &str) -> Option<End> {
    if let Some(name) = expression.strip_prefix("parent.inputs.") {
        return Some(End { node: None, port: Some(name.to_owned()) });
    }
    let (node, port) = expression.strip_prefix("parent.jobs.")?.split_once(".outputs.")?;
    Some(End { node: Some(node.to_owned()), port: Some(port.to_owned()) })
}
