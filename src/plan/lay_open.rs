//! Turns the nodes of a pipeline into steps: each into its own, a pipeline into those that it has, and what a loop repeats
//! into the template of its iterations.

use std::collections::HashMap;

use super::bind::Scope;
use super::inputs::{component_inputs, inner};
use super::items::Items;
use super::level::{Level, Place, output_names};
use super::local::Local;
use super::outputs::{self, Said};
use super::step::{self, Runs};
use super::{
    DoWhile, JobOutput, ParallelFor, Part, Program, Step, StepBody, StepInput, StepOutput, Template, Value,
    control_flow, copy, sweep,
};
use crate::diagnostic::Diagnostic;
use crate::spec::io::{Data, Port};
use crate::spec::job::Node;
use crate::spec::job::node::NodeBody;
use crate::toposort;

/// Turns every node of a level into its step, or into those of the pipeline that it is.
pub(super) fn lay_open(
    level: &Level<'_>,
    scope: &Scope<'_>,
    outer: &Said,
    local: &Local,
    steps: &mut Vec<Step>,
    found: &mut Vec<Diagnostic>,
) {
    for (node, place) in level.nodes.iter().zip(&level.places) {
        match place {
            Place::Repeated(_) => {}
            Place::Step(_) => match &node.body {
                NodeBody::IfElse(written) => {
                    steps.push(control_flow::condition(node, written, level, scope, found));
                }
                NodeBody::DoWhile(_) | NodeBody::ParallelFor(_) => {
                    // A placeholder keeps the numbers right after a mistake, which was reported.
                    let repeated = repeated(node, level, scope, outer, local, found);
                    steps.push(repeated.unwrap_or_else(|| control_flow::placeholder(node, level)));
                }
                NodeBody::Copy(written) => {
                    steps.push(copy::of_node(node, written, scope, outer, local, &level.prefix, found));
                }
                NodeBody::Sweep(written) => {
                    steps.push(sweep::of_node(node, written, scope, outer, local, &level.prefix, found));
                }
                _ => steps.push(step::of_node(node, scope, outer, local, &level.prefix, found)),
            },
            Place::Inside(inside, component) => {
                let at = step::at(&level.prefix, &node.name.value);
                let inputs = component_inputs(&component.inputs, node, scope, &at, found);
                let inputs = inner(inputs);
                let scope = Scope { inputs, level: Some(inside), base: inside.base, world: scope.world };
                lay_open(inside, &scope, &outputs::of_node(node, outer), local, steps, found);
            }
        }
    }
}

/// Puts the steps in running order and lets every index follow. `None` if they need each other in a circle.
pub(super) fn in_order(
    steps: Vec<Step>,
    outputs: Vec<JobOutput>,
    found: &mut Vec<Diagnostic>,
) -> Option<(Vec<Step>, Vec<JobOutput>)> {
    let needs: Vec<Vec<usize>> = steps.iter().map(|s| s.needs.clone()).collect();
    match toposort::order(&needs) {
        Ok(order) => Some(reorder(steps, outputs, &order)),
        Err(cycle) => {
            let names: Vec<&str> = cycle.iter().map(|&i| steps[i].path.as_str()).collect();
            let message = format!("these steps depend on each other: {} -> {}", names.join(" -> "), names[0]);
            let fault = Diagnostic::without_place("cycle", message).at("jobs");
            found.push(fault.help("remove one of these references, so that no node depends on itself"));
            None
        }
    }
}

/// The steps in this order, with every index following.
fn reorder(steps: Vec<Step>, mut outputs: Vec<JobOutput>, order: &[usize]) -> (Vec<Step>, Vec<JobOutput>) {
    let mut position = vec![0; steps.len()];
    for (new, &old) in order.iter().enumerate() {
        position[old] = new;
    }
    let mut slots: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let mut sorted = Vec::with_capacity(slots.len());
    for &old in order {
        let Some(mut step) = slots[old].take() else { continue };
        for list in [&mut step.needs, &mut step.optional_needs] {
            list.iter_mut().for_each(|need| *need = position[*need]);
            list.sort_unstable();
        }
        if let StepBody::IfElse(condition) = &mut step.body {
            let branches = condition.if_true.iter_mut().chain(&mut condition.if_false);
            branches.for_each(|step| *step = position[*step]);
        }
        for value in step.values_mut() {
            for part in &mut value.parts {
                if let Part::Output { step, .. } = part {
                    *step = position[*step];
                }
            }
        }
        sorted.push(step);
    }
    for output in &mut outputs {
        output.step = position[output.step];
    }
    (sorted, outputs)
}

/// The step of a loop.
fn repeated(
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
            let items = control_flow::items(&written.items.value, written.items.span, &at, scope, found)?;
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
    let outputs = control_flow::loop_outputs(node, body, outer, scope, &at, found);
    let kind = step_body.kind().to_owned();
    let mut step = Step { inputs, outputs, ..control_flow::bare(path, node, step_body) };
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
            // Its outputs have the types that it declares, and the loop registers and uploads them when it is over.
            let said = pipeline
                .outputs
                .iter()
                .map(|port| (port.name.value.clone(), Data { kind: Some(port.kind), ..Data::default() }));
            lay_open(&inside, &scope, &said.collect(), local, &mut steps, found);
            control_flow::gate(&mut steps);
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
