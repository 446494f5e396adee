//! The levels of a document: a pipeline, and the pipelines inside it, with the number that each step will have.
//!
//! A step of an inner pipeline is named by its path (`prepare.clean`). What an outer node reads of an inner pipeline
//! (`${{parent.jobs.prepare.outputs.data}}`) is the output of the inner node that is bound to it
//! (`${{parent.outputs.data}}`), however deep that node is nested.

use std::collections::HashMap;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Span};
use crate::spec::expr::{Expr, Template};
use crate::spec::io::{Output, OutputValue, Port, PortType};
use crate::spec::job::Node;
use crate::spec::job::node::NodeBody;
use crate::spec::job::node::PipelineComponent;
use crate::spec::sweep::Trial;

/// One pipeline.
pub(super) struct Level<'a> {
    /// Its nodes.
    pub nodes: &'a [Node],
    /// What each node is.
    pub places: Vec<Place<'a>>,
    /// The folder that relative paths in it start from.
    pub base: &'a Path,
    /// The text before the names of its nodes in the paths of steps: empty, or `prepare.`.
    pub prefix: String,
    by_name: HashMap<&'a str, usize>,
    /// The pipeline's outputs with the node, and its output, that writes each.
    writers: HashMap<&'a str, (usize, &'a str)>,
}

/// What a node of a level is.
pub(super) enum Place<'a> {
    /// The step with that number.
    Step(usize),
    /// A pipeline with steps of its own.
    Inside(Box<Level<'a>>, &'a PipelineComponent),
    /// What the loop of that number among the nodes repeats. It has no step of its own.
    Repeated(usize),
}

impl<'a> Level<'a> {
    /// Numbers the steps of a pipeline, those of inner pipelines in their places. `count` is the next number.
    pub(super) fn of(nodes: &'a [Node], base: &'a Path, prefix: &str, count: &mut usize) -> Self {
        let mut level = Self {
            nodes,
            places: Vec::with_capacity(nodes.len()),
            base,
            prefix: prefix.to_owned(),
            by_name: HashMap::with_capacity(nodes.len()),
            writers: HashMap::new(),
        };
        let loops = nodes.iter().enumerate().filter_map(|(index, node)| Some((loop_body(node)?, index)));
        let loops: HashMap<&str, usize> = loops.collect();
        for (index, node) in nodes.iter().enumerate() {
            level.by_name.insert(&node.name.value, index);
            for output in &node.outputs {
                if let Some(name) = bound_to(output) {
                    level.writers.insert(name, (index, &output.name.value));
                }
            }
            level.places.push(match (&node.body, loops.get(node.name.value.as_str())) {
                (_, Some(&repeats)) => Place::Repeated(repeats),
                (NodeBody::Pipeline(inner), None) => {
                    let prefix = format!("{prefix}{}.", node.name.value);
                    let inside = Self::of(&inner.nodes, &inner.base, &prefix, count);
                    Place::Inside(Box::new(inside), inner)
                }
                _ => {
                    *count += 1;
                    Place::Step(*count - 1)
                }
            });
        }
        level
    }

    /// The place of a node.
    pub(super) fn node(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The step and the output of it that an output of a node is.
    pub(super) fn output(&self, node: usize, name: &str) -> Option<(usize, String, PortType)> {
        match &self.places[node] {
            Place::Step(step) => {
                let this = &self.nodes[node];
                let kind = output_type(self.body_of(this).unwrap_or(this), name)?;
                let collects = matches!(this.body, NodeBody::ParallelFor(_));
                Some((*step, name.to_owned(), if collects { collected(kind) } else { kind }))
            }
            Place::Repeated(by) => self.output(*by, name),
            Place::Inside(level, _) => level.written(name),
        }
    }

    /// The step and the output of it that an output of this pipeline is.
    pub(super) fn written(&self, name: &str) -> Option<(usize, String, PortType)> {
        let (node, output) = self.writers.get(name)?;
        self.output(*node, output)
    }

    /// The node that a loop repeats.
    pub(super) fn body_of(&self, node: &Node) -> Option<&'a Node> {
        Some(&self.nodes[self.node(loop_body(node)?)?])
    }

    /// The steps of a node.
    pub(super) fn steps(&self, node: usize) -> Vec<usize> {
        match &self.places[node] {
            Place::Step(step) => vec![*step],
            Place::Repeated(by) => self.steps(*by),
            Place::Inside(level, _) => (0..level.nodes.len()).flat_map(|inner| level.steps(inner)).collect(),
        }
    }
}

/// The pipeline's output that a node's output is bound to.
pub(super) fn bound_to(output: &Output) -> Option<&str> {
    let text = match &output.value.value {
        OutputValue::Binding(text) => text,
        OutputValue::Data(data) => &data.path.as_ref()?.value,
    };
    // The name is cut out of the text, so that it lives as long as the document.
    match Template::binding(text).single() {
        Some(Expr::ParentOutput(name)) => text.find(name.as_str()).map(|at| &text[at..at + name.len()]),
        _ => None,
    }
}

/// The outputs that a node's component declares; `None` for a node that has what it runs written inline.
fn declared(node: &Node) -> Option<&[Port]> {
    match &node.body {
        NodeBody::Pipeline(inner) => Some(&inner.outputs),
        NodeBody::Unsupported(other) => Some(&other.outputs),
        NodeBody::Sweep(sweep) => match &sweep.trial {
            Trial::Component(component) => Some(&component.outputs),
            Trial::Inline(_) => None,
        },
        NodeBody::Copy(copy) => copy.component.as_ref().map(|component| component.outputs.as_slice()),
        NodeBody::IfElse(_) | NodeBody::DoWhile(_) | NodeBody::ParallelFor(_) => Some(&[]),
        body => body.component().map(|component| component.outputs.as_slice()),
    }
}

/// The type of a node's output, or `None` when it has no such output.
pub(super) fn output_type(node: &Node, name: &str) -> Option<PortType> {
    if let Some(ports) = declared(node) {
        return ports.iter().find(|port| port.name.value == name).map(|port| port.kind);
    }
    let said = node.outputs.iter().find(|output| output.name.value == name);
    said.map(|output| match &output.value.value {
        OutputValue::Data(data) => data.kind.unwrap_or(PortType::UriFolder),
        OutputValue::Binding(_) => PortType::UriFolder,
    })
}

/// The names of a node's outputs.
pub(super) fn output_names(node: &Node) -> Vec<&str> {
    match declared(node) {
        Some(ports) => ports.iter().map(|port| port.name.value.as_str()).collect(),
        None => node.outputs.iter().map(|output| output.name.value.as_str()).collect(),
    }
}

/// A warning for an output of the pipeline that no node writes.
pub(super) fn unbound(name: &str, span: Span) -> Diagnostic {
    Diagnostic::warning("unbound-output", span, format!("no node writes '{name}'"))
        .at(format!("outputs.{name}"))
        .help(format!("bind an output of a node to it: <output>: ${{{{parent.outputs.{name}}}}}"))
}

/// The type of the collected outputs of all items.
pub(super) fn collected(kind: PortType) -> PortType {
    if kind.is_data() { PortType::Mltable } else { PortType::String }
}

/// The name of the node that a loop repeats.
pub(super) fn loop_body(node: &Node) -> Option<&str> {
    match &node.body {
        NodeBody::DoWhile(written) => Some(&written.body.value),
        NodeBody::ParallelFor(written) => Some(&written.body.value),
        _ => None,
    }
}
