//! A pipeline job, and a pipeline that is a component of another (reference, sections 2.4, 2.5).

use std::sync::Arc;

use super::common::Common;
use super::node::{Components, Node, PipelineComponent, nodes};
use crate::again::amlrun;
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
    /// What it says of its outputs.
    pub outputs: Vec<Output>,
    /// What holds for all nodes.
    pub settings: Settings,
    /// The nodes in the order of the text; none when it runs a component.
    pub nodes: Vec<Node>,
    /// The component that it runs (`component:`).
    pub component: Option<Arc<PipelineComponent>>,
}

pub(super) fn of(object: &Object, found: &mut Vec<Diagnostic>) -> PipelineJob {
    let mut components = Components::default();
    let component = object.entry("component").and_then(|entry| {
        let Some(named) = entry.value.object() else {
            let reference = entry.value.text().unwrap_or_default();
            let message = format!("the component '{reference}' is not registered in this workspace");
            let help = format!("use its file, or register it: {}", amlrun("component create -f FILE"));
            found.push(Diagnostic::error("unknown-component", entry.value.span, message).at("component").help(help));
            return None;
        };
        Some(components.pipeline(named, found))
    });
    let settings = object.get("settings").and_then(Value::object);
    PipelineJob {
        common: Common::of(object, found),
        inputs: io::inputs(object.map("inputs")),
        outputs: io::outputs(object.map("outputs")),
        settings: settings.map(Settings::of).unwrap_or_default(),
        nodes: nodes(object, &mut components, found),
        component,
    }
}
