//! Inputs of a step: what the node gives, matched with what its component declares.

use super::bind::{self, Bound};
use super::{InputMode, StepInput, Value};
use crate::diagnostic::Diagnostic;
use crate::spec::io::{Input, InputValue, Port, PortType};

/// Matches what the node gives with what its component declares. That all of it is declared, that nothing required is
/// missing and that literals fit, the language room has seen to.
pub(super) fn component_inputs(
    ports: &[Port],
    mut given: Vec<(&Input, Bound)>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepInput> {
    let mut inputs = Vec::new();
    for port in ports {
        let name = &port.name.value;
        let at = format!("{path}.inputs.{name}");
        let Some(index) = given.iter().position(|(input, _)| input.name.value == *name) else {
            let value = port.default.clone().map(Value::text);
            inputs.push(StepInput { name: name.clone(), kind: port.kind, mode: InputMode::RoMount, value });
            continue;
        };
        let (input, bound) = given.swap_remove(index);
        let text = bound.value.as_text();
        let scalar = matches!(input.value.value, InputValue::Literal(_));
        if let Some(text) = text.filter(|_| port.kind.is_data() && scalar && !bound.kind.is_data()) {
            let message = format!("'{text}' reaches the step as plain text: a bare string is never taken as a path");
            let help = format!("for a file or folder write a mapping with 'type: {}' and 'path: {text}'", port.kind);
            found.push(Diagnostic::warning("literal-for-data", input.value.span, message).at(at).help(help));
        }
        inputs.push(step_input(name, bound, Some(port.kind), port.mode.as_deref()));
    }
    inputs
}

/// One input of a step. A declared type and mode fill in what the value does not say.
pub(super) fn step_input(name: &str, bound: Bound, declared: Option<PortType>, mode: Option<&str>) -> StepInput {
    let mode = bound.mode.or_else(|| mode.and_then(bind::input_mode)).unwrap_or_default();
    StepInput { name: name.to_owned(), kind: declared.unwrap_or(bound.kind), mode, value: Some(bound.value) }
}
