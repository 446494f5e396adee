//! The step of a node that copies data.

use super::bind::Scope;
use super::control_flow::bare;
use super::inputs::{component_inputs, given, step_input};
use super::level::output_names;
use super::local::Local;
use super::outputs::{self, Said};
use super::{Step, StepBody, StepInput, step};
use crate::diagnostic::Diagnostic;
use crate::spec::data_transfer::CopyNode;
use crate::spec::job::Node;

/// The step of a node that copies its inputs into its output.
pub(super) fn of_node(
    node: &Node,
    copy: &CopyNode,
    scope: &Scope<'_>,
    outer: &Said,
    local: &Local,
    prefix: &str,
    found: &mut Vec<Diagnostic>,
) -> Step {
    let at = step::at(prefix, &node.name.value);
    let path = format!("{prefix}{}", node.name.value);
    let said = outputs::of_node(node, outer);
    let step_outputs = outputs::of_step(&output_names(node), &said, &format!("{at}.outputs"), scope.world, found);
    let rules = local.rules(&path, "data_transfer");
    let names: Vec<&str> = step_outputs.iter().map(|output| output.name.as_str()).collect();
    let substitute = local.substitute(&rules, &names).unwrap_or_else(|why| {
        let message = format!("the policy for the step '{path}' cannot be followed: {why}");
        found.push(Diagnostic::without_place("bad-policy", message).at(at.as_str()));
        None
    });
    let mut aside = Vec::new();
    let found = if rules.policy.is_some() { &mut aside } else { found };
    let inputs: Vec<StepInput> = match &copy.component {
        Some(component) => component_inputs(&component.inputs, node, scope, &at, found),
        None => {
            let inputs = given(node, scope, &at, found).into_iter();
            inputs.map(|(input, bound)| step_input(&input.name.value, bound, None, None)).collect()
        }
    };
    for input in inputs.iter().filter(|input| !input.kind.is_data()) {
        let message = format!("the input '{}' is a {}, but only data can be copied", input.name, input.kind);
        let fault = Diagnostic::error("wrong-type", node.name.span, message).at(format!("{at}.inputs.{}", input.name));
        found.push(fault.help("use a mapping with 'type: uri_folder' and 'path'"));
    }
    let body = StepBody::Copy(copy.mode);
    let component = copy.component.as_ref().and_then(|component| component.name.clone());
    let retries = rules.retries.unwrap_or(0);
    let mut step = Step { inputs, outputs: step_outputs, component, substitute, retries, ..bare(path, node, body) };
    if step.substitute.is_none() {
        step.find_needs();
    }
    step
}
