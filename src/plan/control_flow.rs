//! The steps of conditions and loops (reference, section 2.12).
//!
//! A condition is a step that the steps of its two branches need. A loop is a step with a template: the node that it
//! repeats is no step of its own.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::bind::{Bound, Scope};
use super::inputs::{component_inputs, inner};
use super::level::{Level, output_names};
use super::local::Local;
use super::outputs::{self, Said};
use super::resolve::{in_order, lay_open};
use super::site::Site;
use super::step::{self, Runs};
use super::template::Template;
use super::{JobOutput, Part, Phase, PortType, Program, Step, StepBody, StepInput, StepOutput, Value};
use crate::diagnostic::Diagnostic;
use crate::spec::control_flow::{self as spec, Items as Written};
use crate::spec::io::Port;
use crate::spec::job::Node;
use crate::spec::job::node::NodeBody;
use crate::spec::{Literal, Spanned};

/// A condition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// What decides.
    pub value: Value,
    /// The steps that run if it is true, by index.
    pub if_true: Vec<usize>,
    /// The steps that run if it is false, by index.
    pub if_false: Vec<usize>,
}

/// A loop that goes on while a condition is true.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DoWhile {
    /// What it repeats.
    pub body: Template,
    /// The output that decides whether it goes on.
    pub condition: Option<String>,
    /// Each output with the inputs that get it in the next iteration.
    pub mapping: Vec<(String, Vec<String>)>,
    /// The most iterations.
    pub max_iterations: u32,
}

/// A loop over items.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParallelFor {
    /// What it runs for each item.
    pub body: Template,
    /// The items.
    pub items: Items,
    /// The most items at the same time.
    pub max_concurrency: Option<usize>,
}

/// The items of a loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Items {
    /// Each with its name and the inputs that it gives.
    Known(Vec<Item>),
    /// JSON that is known when the loop begins.
    Later(Value),
}

/// An item of a loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name, or its number from 0.
    pub name: String,
    /// The inputs that it gives.
    pub inputs: Vec<(String, Value)>,
}

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

/// The step of a loop.
pub(super) fn repeated(
    node: &Node,
    level: &Level<'_>,
    scope: &Scope<'_>,
    outer: &Said,
    local: &Local,
    found: &mut Vec<Diagnostic>,
) -> Option<Step> {
    let path = format!("{}{}", level.prefix, node.name.value);
    let at = step::at(&level.prefix, &node.name.value);
    let body = level.body_of(node)?;
    let ports: &[Port] = match &body.body {
        NodeBody::Component(component) => &component.inputs,
        NodeBody::Pipeline(inner) => &inner.inputs,
        _ => return None,
    };
    let body_at = step::at(&level.prefix, &body.name.value);
    let inputs = component_inputs(ports, body, scope, &body_at, found);
    let step_body = match &node.body {
        NodeBody::DoWhile(written) => {
            let given: Vec<&str> =
                written.mapping.iter().flat_map(|(_, inputs)| inputs.iter().map(String::as_str)).collect();
            StepBody::DoWhile(Box::new(DoWhile {
                body: template(body, &path, &inputs, &given, level, scope, local, found)?,
                condition: written.condition.as_ref().map(|condition| condition.value.clone()),
                mapping: written.mapping.clone(),
                max_iterations: written.max_iterations,
            }))
        }
        NodeBody::ParallelFor(written) => {
            let items = items(&written.items.value, written.items.span, &at, scope, found)?;
            // Which inputs later items give is not known yet: all of them may.
            let given: Vec<&str> = match &items {
                Items::Known(items) => {
                    items.iter().flat_map(|item| item.inputs.iter().map(|(name, _)| name.as_str())).collect()
                }
                Items::Later(_) => ports.iter().map(|port| port.name.value.as_str()).collect(),
            };
            let body = template(body, &path, &inputs, &given, level, scope, local, found)?;
            StepBody::ParallelFor(Box::new(ParallelFor { body, items, max_concurrency: written.max_concurrency }))
        }
        _ => return None,
    };
    let outputs = loop_outputs(node, body, outer, scope, &at, found);
    let kind = step_body.kind().to_owned();
    let mut step = Step { inputs, outputs, ..bare(path, node, step_body) };
    let names: Vec<&str> = step.outputs.iter().map(|output| output.name.as_str()).collect();
    step.substitute = local.substitute(&local.rules(&step.path, &kind), &names).unwrap_or_else(|why| {
        let message = format!("the policy for the step '{}' cannot be followed: {why}", step.path);
        found.push(Diagnostic::without_place("bad-policy", message).at(at));
        None
    });
    if step.substitute.is_none() {
        step.find_needs();
    }
    Some(step)
}

/// The outputs of a loop: those of its last iteration, or all of them together.
fn loop_outputs(
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

/// The type of the collected outputs of all items.
pub(super) fn collected(kind: PortType) -> PortType {
    if kind.is_data() { PortType::Mltable } else { PortType::String }
}

/// What a loop repeats. `given` are the inputs that get their values from the loop.
#[expect(clippy::too_many_arguments, reason = "what a node rests on")]
fn template(
    body: &Node,
    path: &str,
    inputs: &[StepInput],
    given: &[&str],
    level: &Level<'_>,
    scope: &Scope<'_>,
    local: &Local,
    found: &mut Vec<Diagnostic>,
) -> Option<Template> {
    let handed_on = inputs.iter().map(|input| {
        let has_value = input.value.is_some() || given.contains(&input.name.as_str());
        let value = has_value.then(|| Value { parts: vec![Part::Input(input.name.clone())] });
        StepInput { value, ..input.clone() }
    });
    let handed_on: Vec<StepInput> = handed_on.collect();
    match &body.body {
        NodeBody::Component(component) => {
            let said = outputs::of_node(body, &Said::new());
            let at = step::at(&level.prefix, &body.name.value);
            let named = outputs::of_step(&output_names(body), &said, &format!("{at}.outputs"), scope.world, found);
            // The loop registers and uploads its outputs when it is over.
            let step_outputs = named.into_iter().map(|output| StepOutput { asset: None, place: None, ..output });
            let runs = Runs {
                path: path.to_owned(),
                kind: "command",
                display_name: body.display_name.clone().or_else(|| component.display_name.clone()),
                component: component.name.clone(),
                body: Some(&component.body),
                settings: body.settings.or(&component.body.settings),
                is_deterministic: component.is_deterministic,
                program: Program::Shell,
            };
            let alone = Scope { inputs: HashMap::new(), level: None, base: scope.base, world: scope.world };
            let own = body.environment_variables.as_slice();
            let step = step::of(runs, handed_on, step_outputs.collect(), own, &alone, local, &at, found);
            let outputs = step.outputs.iter();
            let outputs =
                outputs.map(|o| JobOutput { name: o.name.clone(), step: 0, output: o.name.clone() }).collect();
            Some(Template { steps: vec![step], outputs })
        }
        NodeBody::Pipeline(pipeline) => {
            let mut count = 0;
            let inside = Level::of(&pipeline.nodes, &pipeline.base, &format!("{path}."), &mut count);
            let scope =
                Scope { inputs: inner(handed_on), level: Some(&inside), base: &pipeline.base, world: scope.world };
            let mut steps = Vec::with_capacity(count);
            lay_open(&inside, &scope, &Said::new(), local, &mut steps, found);
            gate(&mut steps);
            let outputs = pipeline.outputs.iter().filter_map(|port| {
                let (step, output, _) = inside.written(&port.name.value)?;
                Some(JobOutput { name: port.name.value.clone(), step, output })
            });
            let (steps, outputs) = in_order(steps, outputs.collect(), found)?;
            Some(Template { steps, outputs })
        }
        _ => None,
    }
}

fn items(
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

/// The items in JSON: a list of objects, or an object of objects.
///
/// # Errors
/// A sentence without its end that says what is wrong.
pub fn from_json(json: &serde_json::Value) -> Result<Vec<Item>, String> {
    use serde_json::Value as Json;
    let item = |name: String, json: &Json| {
        let fields = json.as_object().ok_or_else(|| format!("the item {name} is no object"))?;
        let text = |value: &Json| match value {
            Json::String(text) => text.clone(),
            Json::Bool(true) => "True".to_owned(),
            Json::Bool(false) => "False".to_owned(),
            other => other.to_string(),
        };
        let inputs = fields.iter().map(|(name, value)| (name.clone(), Value::text(text(value)).under(name)));
        Ok(Item { inputs: inputs.collect(), name })
    };
    let items: Vec<Item> = match json {
        Json::Array(all) => all
            .iter()
            .enumerate()
            .map(|(number, json)| item(number.to_string(), json))
            .collect::<Result<_, String>>()?,
        Json::Object(all) => all.iter().map(|(name, json)| item(name.clone(), json)).collect::<Result<_, String>>()?,
        _ => return Err("it is neither a list nor an object".to_owned()),
    };
    if items.is_empty() { Err("it is empty".to_owned()) } else { Ok(items) }
}

impl Items {
    /// The values in it.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let (known, later) = match self {
            Self::Known(items) => (items.as_slice(), None),
            Self::Later(value) => ([].as_slice(), Some(value)),
        };
        known.iter().flat_map(|item| item.inputs.iter().map(|(_, value)| value)).chain(later)
    }

    /// The values in it, to be replaced.
    pub(super) fn values_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Self::Known(items) => {
                items.iter_mut().flat_map(|item| item.inputs.iter_mut().map(|(_, value)| value)).collect()
            }
            Self::Later(value) => vec![value],
        }
    }
}

/// A step with nothing but a body.
fn bare(path: String, node: &Node, body: StepBody) -> Step {
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

/// The name of the node that a loop repeats.
pub(super) fn loop_body(node: &Node) -> Option<&str> {
    match &node.body {
        NodeBody::DoWhile(written) => Some(&written.body.value),
        NodeBody::ParallelFor(written) => Some(&written.body.value),
        _ => None,
    }
}
