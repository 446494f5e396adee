//! A standalone command job (reference, section 2.2).

use super::common::Common;
use crate::diagnostic::Diagnostic;
use crate::language::value::Object;
use crate::spec::component::{self, CommandBody};
use crate::spec::io::{self, Input, Output};

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

pub(super) fn of(object: &Object, found: &mut Vec<Diagnostic>) -> Option<CommandJob> {
    Some(CommandJob {
        common: Common::of(object, found),
        inputs: io::inputs(object.map("inputs")),
        outputs: io::outputs(object.map("outputs")),
        body: component::command_body(object, "", found)?,
    })
}
