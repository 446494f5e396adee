//! A standalone command job (reference, section 2.2).

use std::path::Path;

use super::Common;
use crate::diagnostic::Diagnostic;
use crate::spec::component::{self, CommandBody};
use crate::spec::io::{self, Input, Output};
use crate::yaml::{Fields, Node};

/// One command with its inputs and outputs.
#[derive(Clone, Debug)]
pub struct CommandJob {
    /// Name, tags and the like.
    pub common: Common,
    /// Values of its inputs.
    pub inputs: Vec<Input>,
    /// Its outputs.
    pub outputs: Vec<Output>,
    /// What runs.
    pub body: CommandBody,
}

/// Reads the document's mapping.
pub(crate) fn read(node: &Node, base: &Path, found: &mut Vec<Diagnostic>) -> Option<CommandJob> {
    let mut fields = Fields::open(node, "", found)?;
    if let Some(entry) = fields.entry("jobs") {
        found.push(
            Diagnostic::error("wrong-kind", entry.key_span, "a command job has no 'jobs'")
                .at("jobs")
                .help("add the line 'type: pipeline': a file without 'type' is a command job"),
        );
        return None;
    }
    let common = Common::read(&mut fields, base.to_owned(), found);
    let inputs = io::inputs(&mut fields, found);
    let outputs = io::outputs(&mut fields, found);
    fields.pass_over(&["parent_job_name"]);
    let body = component::command_body(&mut fields, base, "a command job", found);
    fields.finish("a command job", found);
    Some(CommandJob { common, inputs, outputs, body: body? })
}
