//! Inputs of a step or of an inner pipeline: what the node gives, matched with what its component declares.

use std::collections::HashMap;

use super::bind::{self, Bound, Scope};
use super::{InputMode, StepInput, Value};
use crate::diagnostic::Diagnostic;
use crate::spec::Literal;
use crate::spec::expr::{Expr, Template};
use crate::spec::io::{Input, InputValue, Port, PortType};
use crate::spec::job::Node;

/// What a node gives, by name; what it says nothing of is not in it.
pub(super) fn given<'n>(
    node: &'n Node,
    scope: &Scope<'_>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<(&'n Input, Bound)> {
    let mut given = Vec::new();
    for input in &node.inputs {
        let at = format!("{path}.inputs.{}", input.name.value);
        // A whole group is bound member by member.
        if group(input).is_some_and(|group| !scope.inputs.contains_key(group)) {
            continue;
        }
        if let Some(bound) = scope.input(input, &at, found) {
            given.push((input, bound));
        }
    }
    given
}

/// The group that an input is bound to as a whole: `g: ${{parent.inputs.g}}` binds `g.a`, `g.b` …
fn group(input: &Input) -> Option<&str> {
    let InputValue::Literal(Literal::Str(text)) = &input.value.value else { return None };
    match Template::binding(text).single() {
        Some(Expr::ParentInput(name)) => text.find(name.as_str()).map(|at| &text[at..at + name.len()]),
        _ => None,
    }
}

/// Matches what the node gives with what its component declares. `language` has checked that all of it is declared,
/// that nothing required is missing and that literals fit.
pub(super) fn component_inputs(
    ports: &[Port],
    node: &Node,
    scope: &Scope<'_>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepInput> {
    let mut given: HashMap<&str, (&Input, Bound)> = HashMap::new();
    for (input, bound) in self::given(node, scope, path, found) {
        given.insert(&input.name.value, (input, bound));
    }
    let mut inputs = Vec::new();
    for port in ports {
        let name = &port.name.value;
        let at = format!("{path}.inputs.{name}");
        let Some((input, bound)) = given.remove(name.as_str()) else {
            let bound = of_group(port, node, scope);
            let value = bound.as_ref().and_then(|b| b.value.clone());
            let value = value.or_else(|| port.default.clone().map(Value::text)).map(|value| value.under(name));
            let mode = mode_of(bound.as_ref(), port.mode.as_deref());
            inputs.push(StepInput { name: name.clone(), kind: port.kind, mode, optional: port.optional, value });
            continue;
        };
        let text = bound.value.as_ref().and_then(Value::as_text);
        let scalar = matches!(input.value.value, InputValue::Literal(_));
        if let Some(text) = text.filter(|_| port.kind.is_data() && scalar && !bound.kind.is_data()) {
            let message = format!("the step receives '{text}' as text: a string is not read as a path");
            let help = format!("for a file or folder, use a mapping with 'type: {}' and 'path: {text}'", port.kind);
            found.push(Diagnostic::warning("literal-for-data", input.value.span, message).at(at).help(help));
        }
        let mut input = step_input(name, bound, Some(port.kind), port.mode.as_deref());
        input.optional = port.optional;
        // An optional input of the pipeline that was left out leaves the component with its own default.
        input.value = input.value.or_else(|| port.default.clone().map(Value::text));
        inputs.push(input);
    }
    inputs
}

/// What a port `g.a` gets when the node binds all of `g`.
fn of_group(port: &Port, node: &Node, scope: &Scope<'_>) -> Option<Bound> {
    let (outer, member) = port.name.value.split_once('.')?;
    let input = node.inputs.iter().find(|i| i.name.value == outer)?;
    scope.inputs.get(&format!("{}.{member}", group(input)?)).cloned()
}

/// One input of a step. A declared type and mode fill in what the value does not say.
pub(super) fn step_input(name: &str, bound: Bound, declared: Option<PortType>, mode: Option<&str>) -> StepInput {
    let mode = mode_of(Some(&bound), mode);
    let kind = declared.unwrap_or(bound.kind);
    let value = bound.value.map(|value| value.under(name));
    StepInput { name: name.to_owned(), kind, mode, optional: false, value }
}

fn mode_of(bound: Option<&Bound>, declared: Option<&str>) -> InputMode {
    bound.and_then(|b| b.mode).or_else(|| declared.and_then(bind::input_mode)).unwrap_or_default()
}

/// What an inner pipeline's bindings can refer to.
pub(super) fn inner(inputs: Vec<StepInput>) -> HashMap<String, Bound> {
    let bound = |input: StepInput| {
        let mode = Some(input.mode).filter(|mode| *mode != InputMode::default());
        (input.name, Bound { kind: input.kind, mode, value: input.value })
    };
    inputs.into_iter().map(bound).collect()
}
