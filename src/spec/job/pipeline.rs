//! A pipeline job (reference, section 2.4).

use super::{Common, Node, node};
use crate::diagnostic::Diagnostic;
use crate::language::value::{Object, Value};
use crate::spec::io::{self, Input, Output};
use crate::spec::settings::Settings;

/// A graph of nodes with inputs and outputs of its own.
#[derive(Clone, Debug)]
pub struct PipelineJob {
    /// Name, tags and the like.
    pub common: Common,
    /// Values of its inputs.
    pub inputs: Vec<Input>,
    /// Its outputs.
    pub outputs: Vec<Output>,
    /// What holds for all nodes.
    pub settings: Settings,
    /// The nodes in the order of the text.
    pub nodes: Vec<Node>,
    /// Names of nodes that are not run yet: that is told, and what refers to them is no mistake.
    pub unread: Vec<String>,
}

pub(super) fn of(object: &Object, found: &mut Vec<Diagnostic>) -> PipelineJob {
    if let Some(entry) = object.entry("component") {
        found.push(
            Diagnostic::error("not-yet", entry.key_span, "a pipeline job by 'component:' is not run by amlrun yet")
                .at("component")
                .help("write its 'jobs:' into the file"),
        );
    }
    let settings = object.get("settings").and_then(Value::object);
    let (mut nodes, mut unread) = (Vec::new(), Vec::new());
    let mut components = node::Components::default();
    for entry in object.map("jobs") {
        match node::of(entry, &mut components, found) {
            Some(node) => nodes.push(node),
            None => unread.push(entry.key.clone()),
        }
    }
    PipelineJob {
        common: Common::of(object, found),
        inputs: io::inputs(object.map("inputs")),
        outputs: io::outputs(object.map("outputs")),
        settings: settings.map(|s| Settings::of(s, found)).unwrap_or_default(),
        nodes,
        unread,
    }
}
