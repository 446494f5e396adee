//! The one-way door: from a document to a plan, with every mistake that a run would trip over.

use std::collections::HashMap;
use std::time::Duration;

use super::bind::{Bound, Scope, Site, suggest_or};
use super::inputs::{component_inputs, step_input};
use super::outputs::{Writers, node_outputs, step_output};
use super::{JobInput, JobOutput, Plan, Step, StepInput, StepOutput, Value};
use crate::diagnostic::{Diagnostic, Sources};
use crate::order;
use crate::spec::catalog::Catalog;
use crate::spec::component::CommandBody;
use crate::spec::expr::{Expr, Template};
use crate::spec::io::{Input, Output, OutputValue, PortType};
use crate::spec::job::{CommandJob, Job, Node, PipelineJob, node::NodeBody};
use crate::spec::{Document, Literal, Pairs, Spanned};

/// Resolves a document. Every mistake goes into `found`; the plan is `None` when one of them is an error.
pub fn resolve(
    document: &Document,
    catalog: &dyn Catalog,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Plan> {
    let mut mine = Vec::new();
    let plan = match &document.job {
        Job::Pipeline(job) => pipeline(job, catalog, sources, &mut mine),
        Job::Command(job) => command(job, catalog, sources, &mut mine),
    };
    let refused = mine.iter().any(|d| d.severity == crate::diagnostic::Severity::Error);
    found.extend(mine);
    plan.filter(|_| !refused)
}

fn frame(kind: &'static str, common: &crate::spec::job::Common) -> Plan {
    Plan {
        kind,
        display_name: common.display_name.clone(),
        description: common.description.clone(),
        experiment_name: common.experiment_name.clone(),
        tags: common.tags.iter().map(|(k, v)| (k.clone(), v.clone().unwrap_or_default())).collect(),
        inputs: Vec::new(),
        steps: Vec::new(),
        outputs: Vec::new(),
        continue_on_step_failure: true,
    }
}

fn command(job: &CommandJob, catalog: &dyn Catalog, sources: &Sources, found: &mut Vec<Diagnostic>) -> Option<Plan> {
    let scope = Scope { inputs: HashMap::new(), nodes: &[], unread: &[], base: &job.common.base, catalog, sources };
    let mut inputs = Vec::new();
    for input in &job.inputs {
        let path = format!("inputs.{}", input.name.value);
        if let Some(bound) = scope.input(input, &path, found) {
            inputs.push(step_input(&input.name.value, bound, None, None));
        }
    }
    let mut outputs = Vec::new();
    for output in &job.outputs {
        let path = format!("outputs.{}", output.name.value);
        match &output.value.value {
            OutputValue::Data(data) => outputs.push(step_output(output, data, data.kind, &path, found)),
            OutputValue::Binding(text) => {
                let message = format!("'{text}' means nothing in a job of its own");
                found.push(Diagnostic::error("bad-expression", output.value.span, message).at(path));
            }
        }
    }
    check_inline_command(&job.body, &job.inputs, &job.outputs, "command", sources, found);
    let environment_variables = variables(&job.body.environment_variables, &[], &scope, "", found);
    let mut plan = frame("command", &job.common);
    plan.inputs = inputs.iter().filter_map(job_input).collect();
    plan.outputs =
        outputs.iter().map(|o| JobOutput { name: o.name.clone(), step: 0, output: o.name.clone() }).collect();
    plan.steps.push(step(
        "main",
        job.common.display_name.clone(),
        None,
        &job.body,
        inputs,
        outputs,
        environment_variables,
        None,
    ));
    Some(plan)
}

fn job_input(input: &StepInput) -> Option<JobInput> {
    Some(JobInput { name: input.name.clone(), kind: input.kind, value: input.value.clone()? })
}

fn pipeline(job: &PipelineJob, catalog: &dyn Catalog, sources: &Sources, found: &mut Vec<Diagnostic>) -> Option<Plan> {
    let mut plan = frame("pipeline", &job.common);
    plan.continue_on_step_failure = job.settings.continue_on_step_failure.unwrap_or(true);
    let mut scope = Scope { inputs: HashMap::new(), nodes: &[], unread: &[], base: &job.common.base, catalog, sources };
    let mut unusable = Vec::new();
    for input in &job.inputs {
        let name = input.name.value.as_str();
        match scope.input(input, &format!("inputs.{name}"), found) {
            Some(mut bound) => {
                bound.origin = Some(input.value.span);
                plan.inputs.push(JobInput { name: name.to_owned(), kind: bound.kind, value: bound.value.clone() });
                scope.inputs.insert(name, bound);
            }
            None => unusable.push(name),
        }
    }
    // A mistake in a pipeline input was reported where it is: bindings to it are not mistakes of their own.
    for name in unusable {
        scope
            .inputs
            .insert(name, Bound { kind: PortType::UriFolder, mode: None, value: Value::default(), origin: None });
    }
    (scope.nodes, scope.unread) = (&job.nodes, &job.unread);
    if job.nodes.is_empty() && job.unread.is_empty() && found.is_empty() {
        let place = job.common.name.as_ref().map(|n| n.span);
        let mut nothing = Diagnostic::without_place("no-steps", "the pipeline has no nodes to run").at("jobs");
        nothing.span = place;
        found.push(nothing.help("add nodes under 'jobs:'"));
    }
    let mut writers = Writers::new(job);
    let steps: Vec<Step> =
        job.nodes.iter().enumerate().map(|(index, node)| node_step(index, node, &scope, &mut writers, found)).collect();
    let needs: Vec<Vec<usize>> = steps.iter().map(|s| s.needs.clone()).collect();
    match order::order(&needs) {
        Ok(order) => {
            plan.outputs = writers.finish(found);
            reorder(&mut plan, steps, &order);
            Some(plan)
        }
        Err(cycle) => {
            report_cycle(job, &cycle, found);
            None
        }
    }
}

fn report_cycle(job: &PipelineJob, cycle: &[usize], found: &mut Vec<Diagnostic>) {
    let names: Vec<&str> = cycle.iter().map(|&i| job.nodes[i].name.value.as_str()).collect();
    let Some(first) = cycle.first().map(|&i| &job.nodes[i]) else { return };
    let round = format!("{} -> {}", names.join(" -> "), names[0]);
    let message = if names.len() == 1 {
        format!("the node '{}' reads its own output", names[0])
    } else {
        format!("these nodes wait for each other: {round}")
    };
    let mut diagnostic = Diagnostic::error("cycle", first.name.span, message).at(format!("jobs.{}", names[0]));
    for &index in &cycle[1..] {
        diagnostic = diagnostic.label(job.nodes[index].name.span, "is part of the circle");
    }
    found.push(diagnostic.help("a node can only read outputs of nodes that do not need it"));
}

/// Puts the steps in running order and lets every index follow.
fn reorder(plan: &mut Plan, steps: Vec<Step>, order: &[usize]) {
    let mut position = vec![0; steps.len()];
    for (new, &old) in order.iter().enumerate() {
        position[old] = new;
    }
    let mut slots: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    for &old in order {
        let Some(mut step) = slots[old].take() else { continue };
        step.needs = step.needs.iter().map(|&n| position[n]).collect();
        step.needs.sort_unstable();
        let values = step.inputs.iter_mut().filter_map(|i| i.value.as_mut());
        for value in values.chain(step.environment_variables.iter_mut().map(|(_, v)| v)) {
            for part in &mut value.parts {
                if let super::Part::Output { step, .. } = part {
                    *step = position[*step];
                }
            }
        }
        plan.steps.push(step);
    }
    for output in &mut plan.outputs {
        output.step = position[output.step];
    }
}

fn node_step(
    index: usize,
    node: &Node,
    scope: &Scope<'_>,
    writers: &mut Writers<'_>,
    found: &mut Vec<Diagnostic>,
) -> Step {
    let path = format!("jobs.{}", node.name.value);
    let (body, component) = match &node.body {
        NodeBody::Component(component) => (&component.body, Some(component)),
        NodeBody::Inline(body) => {
            check_inline_command(body, &node.inputs, &node.outputs, &format!("{path}.command"), scope.sources, found);
            (&**body, None)
        }
    };
    let mut given = Vec::new();
    for input in &node.inputs {
        let at = format!("{path}.inputs.{}", input.name.value);
        if let Some(bound) = scope.input(input, &at, found) {
            given.push((input, bound));
        }
    }
    let inputs = match component {
        None => given.into_iter().map(|(input, bound)| step_input(&input.name.value, bound, None, None)).collect(),
        Some(component) => component_inputs(&component.inputs, given, &path, found),
    };
    let outputs = node_outputs(index, node, writers, &path, found);
    let own = component.map_or(&[][..], |_| node.environment_variables.as_slice());
    let environment_variables = variables(&body.environment_variables, own, scope, &path, found);
    let name = component.and_then(|c| c.name.clone()).map(|name| {
        component.and_then(|c| c.version.clone()).map_or(name.clone(), |version| format!("{name}:{version}"))
    });
    let display = node.display_name.clone().or_else(|| component.and_then(|c| c.display_name.clone()));
    let timeout = node.timeout.as_ref().map(|t| t.value);
    step(&node.name.value, display, name, body, inputs, outputs, environment_variables, timeout)
}

fn variables(
    component: &Pairs<Spanned<Literal>>,
    node: &[(String, Spanned<Literal>)],
    scope: &Scope<'_>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = Vec::new();
    for (name, literal) in component.iter().chain(node) {
        let at = format!("{path}.environment_variables.{name}");
        let value = match &literal.value {
            Literal::Str(text) => {
                let site = Site { span: literal.span, path: at.trim_start_matches('.') };
                scope.template(text, site, 0, found).map(|bound| bound.value)
            }
            Literal::Null => Some(Value::text("")),
            other => Some(Value::text(other.python_str())),
        };
        let Some(value) = value else { continue };
        match all.iter_mut().find(|(n, _)| n == name) {
            Some(known) => known.1 = value,
            None => all.push((name.clone(), value)),
        }
    }
    all
}

#[allow(clippy::too_many_arguments)]
fn step(
    path: &str,
    display_name: Option<String>,
    component: Option<String>,
    body: &CommandBody,
    inputs: Vec<StepInput>,
    outputs: Vec<StepOutput>,
    environment_variables: Vec<(String, Value)>,
    timeout: Option<i64>,
) -> Step {
    let values = inputs.iter().filter_map(|i| i.value.as_ref()).chain(environment_variables.iter().map(|(_, v)| v));
    let mut needs: Vec<usize> = values.flat_map(Value::steps).collect();
    needs.sort_unstable();
    needs.dedup();
    let seconds = timeout.or(body.timeout.as_ref().map(|t| t.value)).and_then(|s| u64::try_from(s).ok());
    Step {
        path: path.to_owned(),
        display_name,
        component,
        command: body.command.value.clone(),
        code: body.code.as_ref().map(|c| c.value.components().collect()),
        environment: body.environment.as_ref().map(|e| e.value.describe()),
        environment_variables,
        inputs,
        outputs,
        timeout: seconds.map(Duration::from_secs),
        needs,
    }
}

/// An inline command may use the inputs and outputs that stand beside it. An input in an optional block only may be absent.
fn check_inline_command(
    body: &CommandBody,
    inputs: &[Input],
    outputs: &[Output],
    path: &str,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) {
    for (expr, written, optional) in Template::command(&body.command.value).expressions() {
        let (side, name, known): (_, _, Vec<&str>) = match expr {
            Expr::Input(name) => ("input", name, inputs.iter().map(|i| i.name.value.as_str()).collect()),
            Expr::Output(name) => ("output", name, outputs.iter().map(|o| o.name.value.as_str()).collect()),
            _ => continue,
        };
        if known.contains(&name.as_str()) || optional {
            continue;
        }
        let span = sources.find(body.command.span, written);
        let message = format!("the command uses the {side} '{name}', which has no value here");
        let mistake = Diagnostic::error("unknown-port", span, message).at(path);
        found.push(suggest_or(mistake, name, known.into_iter(), &format!("add it under '{side}s:'")));
    }
}
