//! A pipeline job (reference, section 2.4).

use std::path::Path;

use super::{Common, Node};
use crate::diagnostic::Diagnostic;
use crate::spec::io::{self, Input, Output};
use crate::spec::load::Loader;
use crate::spec::settings::Settings;
use crate::yaml::{self, Fields};

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
    /// Names of nodes that could not be read: their mistakes are told, and what refers to them is no mistake.
    pub unread: Vec<String>,
}

/// Reads the document's mapping and the component files that its nodes name.
pub(crate) fn read(node: &yaml::Node, base: &Path, loader: &mut Loader<'_>) -> Option<PipelineJob> {
    let mut fields = Fields::open(node, "", loader.found)?;
    let common = Common::read(&mut fields, base.to_owned(), loader.found);
    let inputs = io::inputs(&mut fields, loader.found);
    let outputs = io::outputs(&mut fields, loader.found);
    let settings = match fields.take_set("settings") {
        Some(node) => Settings::read(node, loader.found),
        None => Settings::default(),
    };
    if let Some(entry) = fields.entry("component") {
        loader.found.push(
            Diagnostic::error("not-yet", entry.key_span, "a pipeline job by 'component:' is not read by amlrun yet")
                .at("component")
                .help("write its 'jobs:' into the file"),
        );
    }
    let (mut nodes, mut unread) = (Vec::new(), Vec::new());
    if let Some(jobs) = fields.take_set("jobs") {
        match jobs.as_mapping() {
            Some(entries) => {
                for entry in entries {
                    match super::node::read(entry, base, loader) {
                        Some(node) => nodes.push(node),
                        None => unread.push(entry.key.clone()),
                    }
                }
            }
            None => {
                let message = format!("'jobs' must be a mapping of names to nodes, but is {}", jobs.describe());
                loader.found.push(Diagnostic::error("wrong-type", jobs.span, message).at("jobs"));
            }
        }
    }
    fields.finish("a pipeline job", loader.found);
    Some(PipelineJob { common, inputs, outputs, settings, nodes, unread })
}
