//! Inputs of a step: what the node gives, matched with what its component declares.

use super::bind::{self, Bound, suggest_or};
use super::{InputMode, StepInput, Value, literal};
use crate::diagnostic::Diagnostic;
use crate::spec::io::{Input, InputValue, Port, PortType};
use crate::spec::job::Node;

/// Matches what the node gives with what its component declares.
pub(super) fn component_inputs(
    node: &Node,
    ports: &[Port],
    mut given: Vec<(&Input, Bound)>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepInput> {
    for (input, _) in &given {
        let name = &input.name.value;
        if !ports.iter().any(|p| p.name.value == *name) {
            let known = ports.iter().map(|p| p.name.value.as_str());
            let message = format!("the component of '{}' has no input '{name}'", node.name.value);
            let mistake =
                Diagnostic::error("unknown-port", input.name.span, message).at(format!("{path}.inputs.{name}"));
            found.push(suggest_or(mistake, name, known, "Azure ML would drop it silently"));
        }
    }
    let mut inputs = Vec::new();
    for port in ports {
        let name = &port.name.value;
        let at = format!("{path}.inputs.{name}");
        let Some(index) = given.iter().position(|(input, _)| input.name.value == *name) else {
            let was_given = node.inputs.iter().any(|i| i.name.value == *name);
            let value = port.default.clone().map(Value::text);
            if value.is_none() && !port.optional && !was_given {
                let message = format!("the required input '{name}' of '{}' has no value", node.name.value);
                found.push(
                    Diagnostic::error("missing-input", node.name.span, message)
                        .at(at)
                        .label(port.name.span, "declared here without a default")
                        .help(format!("add it under 'inputs:' of '{}'", node.name.value)),
                );
            }
            inputs.push(StepInput { name: name.clone(), kind: port.kind, mode: InputMode::RoMount, value });
            continue;
        };
        let (input, bound) = given.swap_remove(index);
        let text = bound.value.as_text();
        if let Some((message, help)) = text.as_deref().and_then(|text| literal::misfit(port, text)) {
            let mut mistake = Diagnostic::error("bad-value", input.value.span, message).at(at.as_str()).help(help);
            if let Some(origin) = bound.origin {
                mistake = mistake.label(origin, "its value");
            }
            found.push(mistake.label(port.name.span, "declared here"));
        }
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
