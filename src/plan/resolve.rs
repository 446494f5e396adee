//! The one-way door: from a document to a plan, with every mistake that a run would trip over.

use std::collections::HashMap;
use std::time::Duration;

use super::bind::{self, Bound, Scope, Site, suggest_or};
use super::{AssetName, InputMode, JobInput, JobOutput, Plan, Step, StepInput, StepOutput, Value, graph, literal};
use crate::diagnostic::{Diagnostic, Sources, Span};
use crate::spec::catalog::Catalog;
use crate::spec::component::{CommandBody, place};
use crate::spec::expr::{Expr, Template};
use crate::spec::io::{Data, Input, InputValue, Output, OutputValue, Port, PortType};
use crate::spec::job::{CommandJob, Job, Node, PipelineJob, node::NodeBody};
use crate::spec::{Document, Pairs, Spanned};
use crate::yaml::Literal;

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
    let scope = Scope { inputs: HashMap::new(), nodes: &[], base: &job.common.base, catalog, sources };
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
    let mut scope = Scope { inputs: HashMap::new(), nodes: &[], base: &job.common.base, catalog, sources };
    let mut unusable = Vec::new();
    for input in &job.inputs {
        let name = input.name.value.as_str();
        match scope.input(input, &format!("inputs.{name}"), found) {
            Some(bound) => {
                plan.inputs.push(JobInput { name: name.to_owned(), kind: bound.kind, value: bound.value.clone() });
                scope.inputs.insert(name, bound);
            }
            None => unusable.push(name),
        }
    }
    // A mistake in a pipeline input was reported where it is: bindings to it are not mistakes of their own.
    for name in unusable {
        scope.inputs.insert(name, Bound { kind: PortType::UriFolder, mode: None, value: Value::default() });
    }
    scope.nodes = &job.nodes;
    if job.nodes.is_empty() && found.is_empty() {
        let place = job.common.name.as_ref().map(|n| n.span);
        let mut nothing = Diagnostic::without_place("no-steps", "the pipeline has no nodes to run").at("jobs");
        nothing.span = place;
        found.push(nothing.help("add nodes under 'jobs:'"));
    }
    let mut writers = Writers::new(job);
    let steps: Vec<Step> =
        job.nodes.iter().enumerate().map(|(index, node)| node_step(index, node, &scope, &mut writers, found)).collect();
    let needs: Vec<Vec<usize>> = steps.iter().map(|s| s.needs.clone()).collect();
    match graph::order(&needs) {
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

/// Who writes which output of the pipeline.
struct Writers<'a> {
    job: &'a PipelineJob,
    /// Pipeline output → (node index, the node's output, where it is bound).
    bound: HashMap<&'a str, (usize, String, Span)>,
}

impl<'a> Writers<'a> {
    fn new(job: &'a PipelineJob) -> Self {
        Self { job, bound: HashMap::new() }
    }

    /// Binds a node's output to a pipeline output and returns what the pipeline says of that output.
    fn bind(
        &mut self,
        name: &str,
        node: usize,
        output: &str,
        span: Span,
        path: &str,
        found: &mut Vec<Diagnostic>,
    ) -> Option<&'a Data> {
        let Some(declared) = self.job.outputs.iter().find(|o| o.name.value == name) else {
            let known = self.job.outputs.iter().map(|o| o.name.value.as_str());
            let mistake =
                Diagnostic::error("unknown-port", span, format!("the pipeline has no output '{name}'")).at(path);
            found.push(suggest_or(mistake, name, known, "declare it under 'outputs:'"));
            return None;
        };
        if let Some((_, _, first)) = self.bound.get(name) {
            let message = format!("two nodes write the pipeline's output '{name}'");
            found.push(
                Diagnostic::error("two-writers", span, message)
                    .at(path)
                    .label(*first, "the first one")
                    .help("give each its own output of the pipeline"),
            );
        }
        self.bound.insert(&declared.name.value, (node, output.to_owned(), span));
        match &declared.value.value {
            OutputValue::Data(data) => Some(data),
            OutputValue::Binding(_) => None,
        }
    }

    fn finish(self, found: &mut Vec<Diagnostic>) -> Vec<JobOutput> {
        let mut outputs = Vec::new();
        for declared in &self.job.outputs {
            let name = &declared.name.value;
            let path = format!("outputs.{name}");
            if let OutputValue::Binding(text) = &declared.value.value {
                let message = format!("a pipeline's output cannot be a binding ('{text}')");
                let help = format!("bind it where it is written: <output>: ${{{{parent.outputs.{name}}}}}");
                found.push(Diagnostic::error("bad-expression", declared.value.span, message).at(path).help(help));
                continue;
            }
            match self.bound.get(name.as_str()) {
                Some((step, output, _)) => {
                    outputs.push(JobOutput { name: name.clone(), step: *step, output: output.clone() });
                }
                None => found.push(
                    Diagnostic::warning("unbound-output", declared.name.span, format!("no node writes '{name}'"))
                        .at(path)
                        .help(format!("bind it in a node's outputs: <output>: ${{{{parent.outputs.{name}}}}}")),
                ),
            }
        }
        outputs
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
            (body, None)
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
        Some(component) => component_inputs(node, &component.inputs, given, &path, found),
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

/// Matches what the node gives with what its component declares.
fn component_inputs(
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
            found.push(
                Diagnostic::error("bad-value", input.value.span, message)
                    .at(at.as_str())
                    .label(port.name.span, "declared here")
                    .help(help),
            );
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

fn node_outputs(
    index: usize,
    node: &Node,
    writers: &mut Writers<'_>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepOutput> {
    let declared = bind::output_names(node);
    for output in &node.outputs {
        let name = &output.name.value;
        if !declared.contains(&name.as_str()) {
            let message = format!("the component of '{}' has no output '{name}'", node.name.value);
            let at = format!("{path}.outputs.{name}");
            let mistake = Diagnostic::error("unknown-port", output.name.span, message).at(at);
            found.push(suggest_or(mistake, name, declared.iter().copied(), "Azure ML would drop it silently"));
        }
    }
    let mut outputs = Vec::new();
    for name in declared {
        let at = format!("{path}.outputs.{name}");
        let port_kind = bind::output_type(node, name).unwrap_or(PortType::UriFolder);
        let Some(said) = node.outputs.iter().find(|o| o.name.value == name) else {
            outputs.push(StepOutput { name: name.to_owned(), kind: port_kind, asset: None });
            continue;
        };
        match &said.value.value {
            OutputValue::Data(data) => {
                let kind = match &node.body {
                    NodeBody::Component(_) => Some(port_kind),
                    NodeBody::Inline(_) => data.kind,
                };
                outputs.push(step_output(said, data, kind, &at, found));
            }
            OutputValue::Binding(text) => match Template::binding(text).single() {
                Some(Expr::ParentOutput(target)) => {
                    let data = writers.bind(target, index, name, said.value.span, &at, found);
                    let kind = match &node.body {
                        NodeBody::Component(_) => port_kind,
                        NodeBody::Inline(_) => data.and_then(|d| d.kind).unwrap_or(PortType::UriFolder),
                    };
                    let nothing = Data::default();
                    outputs.push(step_output(said, data.unwrap_or(&nothing), Some(kind), &at, found));
                }
                _ => {
                    let message = format!("'{text}' is no binding for an output");
                    let help = "an output can be bound to the pipeline's: ${{parent.outputs.<name>}}";
                    found.push(Diagnostic::error("bad-expression", said.value.span, message).at(at).help(help));
                }
            },
        }
    }
    outputs
}

fn step_output(
    output: &Output,
    data: &Data,
    kind: Option<PortType>,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> StepOutput {
    if let Some(target) = &data.path {
        let message = format!("amlrun does not write outputs to a path of their own yet ('{}')", target.value);
        let help = "leave 'path' out: outputs are kept under .amlrun, see 'amlrun job download'";
        found.push(Diagnostic::error("not-yet", target.span, message).at(format!("{path}.path")).help(help));
    }
    let asset = data.name.as_ref().map(|name| AssetName { name: name.value.clone(), version: data.version.clone() });
    StepOutput { name: output.name.value.clone(), kind: kind.unwrap_or(PortType::UriFolder), asset }
}

fn step_input(name: &str, bound: Bound, declared: Option<PortType>, mode: Option<&str>) -> StepInput {
    let mode = bound.mode.or_else(|| mode.and_then(bind::input_mode)).unwrap_or_default();
    StepInput { name: name.to_owned(), kind: declared.unwrap_or(bound.kind), mode, value: Some(bound.value) }
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
        let span = place(sources, body.command.span, written);
        let message = format!("the command uses the {side} '{name}', which has no value here");
        let mistake = Diagnostic::error("unknown-port", span, message).at(path);
        found.push(suggest_or(mistake, name, known.into_iter(), &format!("add it under '{side}s:'")));
    }
}
