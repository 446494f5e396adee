//! The steps of conditions and loops (reference, section 2.12).
//!
//! A condition is a step that the steps of its two branches need. A loop is a step with a template: the node that it
//! repeats is no step of its own.

use super::bind::{Bound, Scope};
use super::items::{Item, Items, from_json};
use super::level::{Level, collected, output_names};
use super::outputs::{self, Said};
use super::site::Site;
use super::step;
use super::{Condition, Phase, PortType, Step, StepBody, StepOutput, Value};
use crate::diagnostic::Diagnostic;
use crate::spec::control_flow::{self as spec, Items as Written};
use crate::spec::job::Node;
use crate::spec::job::node::NodeBody;
use crate::spec::{Literal, Spanned};

/// The step of a condition. Its branches are found when all nodes of the pipeline have their numbers.
pub(super) fn condition(
    node: &Node,
    written: &spec::IfElse,
    level: &Level<'_>,
    scope: &Scope<'_>,
    found: &mut Vec<Diagnostic>,
) -> Step {
    let at = step::at(&level.prefix, &node.name.value);
    let place = format!("{at}.condition");
    let site = Site { span: written.condition.span, path: &place };
    let value = match &written.condition.value {
        Literal::Str(text) => scope.template(text, site, 0, found),
        literal => Some(Bound { kind: PortType::Boolean, mode: None, value: Some(Value::text(literal.python_str())) }),
    };
    if let Some(bound) = value.as_ref().filter(|bound| bound.kind.is_data()) {
        let message = format!("the condition is a {}, but it must be true or false", bound.kind);
        let help = "declare the output as a boolean: type: boolean";
        found.push(Diagnostic::error("wrong-type", written.condition.span, message).at(place.as_str()).help(help));
    }
    let mut steps = |names: &[Spanned<String>], field: &str| -> Vec<usize> {
        let of = |name: &Spanned<String>| match level.node(&name.value) {
            Some(node) => level.steps(node),
            None => {
                let message = format!("the pipeline has no node '{}'", name.value);
                let fault = Diagnostic::error("unknown-job", name.span, message).at(format!("{at}.{field}"));
                found.push(fault.did_you_mean(&name.value, level.nodes.iter().map(|n| n.name.value.as_str())));
                Vec::new()
            }
        };
        names.iter().flat_map(of).collect()
    };
    let if_true = steps(&written.true_block, "true_block");
    let if_false = steps(&written.false_block, "false_block");
    let value = value.and_then(|bound| bound.value).unwrap_or_default();
    let body = StepBody::IfElse(Box::new(Condition { value, if_true, if_false }));
    let mut step = bare(format!("{}{}", level.prefix, node.name.value), node, body);
    step.find_needs();
    step
}

/// Lets the steps of branches need their condition.
pub(super) fn gate(steps: &mut [Step]) {
    for index in 0..steps.len() {
        let StepBody::IfElse(condition) = &steps[index].body else { continue };
        for step in condition.if_true.iter().chain(&condition.if_false).copied().collect::<Vec<_>>() {
            let needs = &mut steps[step].needs;
            if !needs.contains(&index) {
                needs.push(index);
                needs.sort_unstable();
            }
        }
    }
}

/// The outputs of a loop: those of its last iteration, or all of them together.
pub(super) fn loop_outputs(
    node: &Node,
    body: &Node,
    outer: &Said,
    scope: &Scope<'_>,
    at: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepOutput> {
    let mut said = outputs::of_node(body, outer);
    let names = output_names(body);
    if matches!(node.body, NodeBody::ParallelFor(_)) {
        for name in &names {
            let own = outputs::own(node, name, outer);
            let kind = said.get(*name).and_then(|data| data.kind);
            let kind = kind.map(collected);
            said.insert((*name).to_owned(), crate::spec::io::Data { kind, ..own });
        }
    }
    outputs::of_step(&names, &said, &format!("{at}.outputs"), scope.world, found)
}

/// The items of a loop, as far as they are known. `None` after a mistake, which has been reported.
pub(super) fn items(
    written: &Written,
    span: crate::diagnostic::Span,
    at: &str,
    scope: &Scope<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Items> {
    let place = format!("{at}.items");
    match written {
        Written::Written(items) => {
            let all = items.iter().enumerate().map(|(number, (name, inputs))| {
                let name = name.clone().unwrap_or_else(|| number.to_string());
                let inputs = inputs.iter().filter_map(|input| {
                    let at = format!("{place}.{name}.{}", input.name.value);
                    Some((input.name.value.clone(), scope.input(input, &at, found)?.value?))
                });
                Item { inputs: inputs.collect(), name }
            });
            Some(Items::Known(all.collect()))
        }
        Written::Text(text) => match serde_json::from_str(text).ok().and_then(|json| from_json(&json).ok()) {
            Some(items) => Some(Items::Known(items)),
            None => {
                let bound = scope.template(text, Site { span, path: &place }, 0, found)?;
                let value = bound.value.unwrap_or_default();
                let Some(text) = value.as_text() else { return Some(Items::Later(value)) };
                let items = serde_json::from_str(&text).map_err(|e| e.to_string()).and_then(|json| from_json(&json));
                match items {
                    Ok(items) => Some(Items::Known(items)),
                    Err(why) => {
                        let message = format!("the items are no JSON list of objects: {why}");
                        found.push(Diagnostic::error("bad-value", span, message).at(place));
                        None
                    }
                }
            }
        },
    }
}

/// A step with nothing but a body.
pub(super) fn bare(path: String, node: &Node, body: StepBody) -> Step {
    Step {
        path,
        display_name: node.display_name.clone(),
        component: None,
        body,
        inputs: Vec::new(),
        outputs: Vec::new(),
        timeout: None,
        is_deterministic: true,
        phase: Phase::Main,
        substitute: None,
        retries: 0,
        slots: 1,
        needs: Vec::new(),
        optional_needs: Vec::new(),
    }
}

/// A step in the place of a loop with a mistake.
pub(super) fn placeholder(node: &Node, level: &Level<'_>) -> Step {
    bare(format!("{}{}", level.prefix, node.name.value), node, StepBody::Unsupported { kind: "loop".to_owned() })
}
