//! From a document to a plan, with every mistake that would make a run fail.

use std::collections::{BTreeMap, HashMap};

use super::bind::{Bound, Scope, World};
use super::inputs::step_input;
use super::lay_open::{in_order, lay_open};
use super::level::{Level, unbound};
use super::outputs::{self, Said};
use super::spark;
use super::step::{self, Runs, check_inline_command};
use super::sweep::{self, Written};
use super::{JobInput, JobOutput, Local, Phase, Plan, Program, Step, StepInput, StepOutput, Value, control_flow};
use crate::diagnostic::{Diagnostic, Severity, Sources};
use crate::spec::Document;
use crate::spec::catalog::Catalog;
use crate::spec::component::{CommandBody, RunSettings};
use crate::spec::io::{Data, Input, Output, OutputValue, PortType};
use crate::spec::job::node::NodeBody;
use crate::spec::job::{CommandJob, Common, Job, Node, PipelineJob, ServiceJob};
use crate::spec::spark::SparkJob;
use crate::spec::sweep::SweepJob;

/// Resolves a document. Every mistake goes into `found`; the plan is `None` when one of them is an error.
pub fn resolve(
    document: &Document,
    catalog: &dyn Catalog,
    local: &Local,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Plan> {
    let mut mine = Vec::new();
    let plan = match &document.job {
        Job::Pipeline(job) => pipeline(job, catalog, local, sources, &mut mine),
        Job::Command(job) => single(&command(job), catalog, local, sources, &mut mine),
        Job::Spark(job) => spark(job, catalog, local, sources, &mut mine),
        Job::Sweep(job) => sweep(job, catalog, local, sources, &mut mine),
        Job::Service(job) => service(job, catalog, local, sources, &mut mine),
    };
    let refused = mine.iter().any(|d| d.severity == Severity::Error);
    found.extend(mine);
    plan.filter(|_| !refused)
}

/// The datastore that every workspace has (reference, section 9.5).
const DEFAULT_DATASTORE: &str = "workspaceblobstore";

fn frame(kind: &str, common: &Common) -> Plan {
    Plan {
        kind: kind.to_owned(),
        display_name: common.display_name.clone(),
        description: common.description.clone(),
        experiment_name: common.experiment_name.clone(),
        tags: common.tags.iter().map(|(k, v)| (k.clone(), v.clone().unwrap_or_default())).collect(),
        continue_on_step_failure: true,
        default_datastore: DEFAULT_DATASTORE.to_owned(),
        ..Plan::default()
    }
}

/// A job that is one command.
struct Single<'a> {
    common: &'a Common,
    inputs: &'a [Input],
    outputs: &'a [Output],
    body: &'a CommandBody,
    program: Program,
    /// The field that has the text of its command.
    field: &'a str,
}

fn command(job: &CommandJob) -> Single<'_> {
    let CommandJob { common, inputs, outputs, body } = job;
    Single { common, inputs, outputs, body, program: Program::Shell, field: "command" }
}

fn spark(
    job: &SparkJob,
    catalog: &dyn Catalog,
    local: &Local,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Plan> {
    let SparkJob { common, inputs, outputs, body } = job;
    let mut aside = Vec::new();
    let is_replaced = local.rules("main", "spark").policy.is_some();
    let name = common.display_name.as_deref().unwrap_or(&body.entry.value);
    let body = &spark::command(body, name, "", if is_replaced { &mut aside } else { &mut *found });
    let job = Single { common, inputs, outputs, body, program: Program::Spark, field: "args" };
    single(&job, catalog, local, sources, found)
}

fn single(
    job: &Single<'_>,
    catalog: &dyn Catalog,
    local: &Local,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Plan> {
    let kind = job.program.kind();
    let world = World { catalog, sources, default_datastore: DEFAULT_DATASTORE };
    let scope = Scope { inputs: HashMap::new(), level: None, base: &job.common.base, world: &world };
    let (mut aside, is_replaced) = (Vec::new(), local.rules("main", kind).policy.is_some());
    // What is missing for a job that is not run is not a mistake.
    let needed = if is_replaced { &mut aside } else { &mut *found };
    let mut inputs = own_inputs(job.inputs, &scope, needed);
    let names: Vec<&str> = job.inputs.iter().map(|input| input.name.value.as_str()).collect();
    check_inline_command(job.body, &names, job.outputs, job.field, &scope, needed);
    let step_outputs = own_outputs(job.outputs, &world, found);
    if job.program == Program::Spark {
        spark::read_locally(&mut inputs);
    }
    let mut plan = frame(kind, job.common);
    plan.inputs = inputs.iter().filter_map(job_input).collect();
    plan.outputs = step_outputs.iter().map(job_output).collect();
    let runs = Runs {
        path: "main".to_owned(),
        kind,
        display_name: job.common.display_name.clone(),
        component: None,
        body: Some(job.body),
        settings: job.body.settings.clone(),
        is_deterministic: true,
        program: job.program,
    };
    plan.notes = notes(&BTreeMap::from_iter(job.body.settings.without_effect.iter().map(|f| (f.value, 1))), 1);
    plan.steps.push(step::of(runs, inputs, step_outputs, &[], &scope, local, "", found));
    Some(plan)
}

fn sweep(
    job: &SweepJob,
    catalog: &dyn Catalog,
    local: &Local,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Plan> {
    let world = World { catalog, sources, default_datastore: DEFAULT_DATASTORE };
    let scope = Scope { inputs: HashMap::new(), level: None, base: &job.common.base, world: &world };
    let inputs = own_inputs(&job.inputs, &scope, found);
    let step_outputs = own_outputs(&job.outputs, &world, found);
    let mut plan = frame("sweep", &job.common);
    plan.inputs = inputs.iter().filter_map(job_input).collect();
    plan.outputs = step_outputs.iter().map(job_output).collect();
    let written = Written {
        path: "main".to_owned(),
        at: "",
        display_name: job.common.display_name.clone(),
        inputs: &job.inputs,
        outputs: &job.outputs,
    };
    plan.steps.push(sweep::of(&job.body, written, inputs, step_outputs, &scope, local, found));
    Some(plan)
}

/// The plan of a job with a substitute; without a substitute, why it cannot run.
fn service(
    job: &ServiceJob,
    catalog: &dyn Catalog,
    local: &Local,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Plan> {
    let world = World { catalog, sources, default_datastore: DEFAULT_DATASTORE };
    let scope = Scope { inputs: HashMap::new(), level: None, base: &job.common.base, world: &world };
    let mut plan = frame(&job.kind, &job.common);
    let step_outputs = own_outputs(&job.outputs, &world, found);
    plan.outputs = step_outputs.iter().map(job_output).collect();
    let runs = Runs {
        path: "main".to_owned(),
        kind: &job.kind,
        display_name: job.common.display_name.clone(),
        component: None,
        body: None,
        settings: RunSettings::default(),
        is_deterministic: true,
        program: Program::Shell,
    };
    let step = step::of(runs, Vec::new(), step_outputs, &[], &scope, local, "", found);
    if step.substitute.is_none() {
        let message = format!("jobs of type '{}' are not supported by amlrun yet", job.kind);
        let help = format!("replace it with samples in amlrun.toml: [types.{}] policy = \"stub\"", job.kind);
        found.push(Diagnostic::error("not-yet", job.span, message).at("type").help(help));
    }
    plan.steps.push(step);
    Some(plan)
}

/// The inputs of a job of its own.
fn own_inputs(inputs: &[Input], scope: &Scope<'_>, found: &mut Vec<Diagnostic>) -> Vec<StepInput> {
    let mut all = Vec::new();
    for input in inputs {
        let path = format!("inputs.{}", input.name.value);
        if let Some(bound) = scope.input(input, &path, found) {
            all.push(step_input(&input.name.value, bound, None, None));
        }
    }
    all
}

/// The outputs of a job of its own.
fn own_outputs(outputs: &[Output], world: &World<'_>, found: &mut Vec<Diagnostic>) -> Vec<StepOutput> {
    let mut said = Said::new();
    for output in outputs {
        match &output.value.value {
            OutputValue::Data(data) => drop(said.insert(output.name.value.clone(), data.clone())),
            OutputValue::Binding(text) => {
                let message = format!("'{text}' cannot be used in a standalone job");
                let path = format!("outputs.{}", output.name.value);
                found.push(Diagnostic::error("bad-expression", output.value.span, message).at(path));
            }
        }
    }
    let names: Vec<&str> = outputs.iter().map(|o| o.name.value.as_str()).collect();
    outputs::of_step(&names, &said, "outputs", world, found)
}

fn job_output(output: &StepOutput) -> JobOutput {
    JobOutput { name: output.name.clone(), step: 0, output: output.name.clone() }
}

fn job_input(input: &StepInput) -> Option<JobInput> {
    Some(JobInput { name: input.name.clone(), kind: input.kind, value: input.value.clone()? })
}

fn pipeline(
    job: &PipelineJob,
    catalog: &dyn Catalog,
    local: &Local,
    sources: &Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Plan> {
    let mut plan = frame("pipeline", &job.common);
    let settings = &job.settings;
    plan.continue_on_step_failure = settings.continue_on_step_failure.unwrap_or(true);
    plan.force_rerun = settings.force_rerun.unwrap_or(false);
    plan.default_datastore = settings.default_datastore.clone().unwrap_or(plan.default_datastore);
    let world = World { catalog, sources, default_datastore: &plan.default_datastore };
    let component = job.component.as_deref();
    let (nodes, base) = component.map_or((&job.nodes, &job.common.base), |c| (&c.nodes, &c.base));
    let mut count = 0;
    let level = Level::of(nodes, base, "", &mut count);
    let mut scope = Scope { inputs: HashMap::new(), level: Some(&level), base: &job.common.base, world: &world };
    for input in &job.inputs {
        let name = input.name.value.as_str();
        let bound = scope.input(input, &format!("inputs.{name}"), found);
        plan.inputs.extend(
            bound.as_ref().and_then(|bound| {
                Some(JobInput { name: name.to_owned(), kind: bound.kind, value: bound.value.clone()? })
            }),
        );
        // A mistake in a pipeline input was reported where it is: bindings to it are not mistakes of their own.
        let unusable = Bound { kind: PortType::UriFolder, mode: None, value: Some(Value::default()) };
        scope.inputs.insert(name.to_owned(), bound.unwrap_or(unusable));
    }
    for port in component.map(|c| c.inputs.as_slice()).unwrap_or_default() {
        let value = port.default.clone().map(Value::text);
        let default = Bound { kind: port.kind, mode: None, value };
        scope.inputs.entry(port.name.value.clone()).or_insert(default);
    }
    scope.base = base;
    if nodes.is_empty() && found.is_empty() && job.component.is_none() {
        let mut nothing = Diagnostic::without_place("no-steps", "the pipeline has no nodes to run").at("jobs");
        nothing.span = job.common.name.as_ref().map(|n| n.span);
        found.push(nothing.help("add nodes under 'jobs:'"));
    }
    let mut said = outputs::of_job(&job.outputs, found);
    for port in component.map(|c| c.outputs.as_slice()).unwrap_or_default() {
        said.entry(port.name.value.clone()).or_insert_with(|| Data { kind: Some(port.kind), ..Data::default() });
    }
    let mut steps = Vec::with_capacity(count);
    lay_open(&level, &scope, &said, local, &mut steps, found);
    control_flow::gate(&mut steps);
    phases(settings, &level, &mut steps);
    if settings.continue_run_on_failed_optional_input == Some(false) {
        steps.iter_mut().for_each(|step| step.optional_needs.clear());
    }
    plan.notes = notes(&without_effect(nodes), steps.len());
    plan.notes.extend(outputs::shared_places(&steps));
    let declared = job.outputs.iter().map(|o| (o.name.value.as_str(), Some(o.name.span)));
    let others = component.map(|c| c.outputs.as_slice()).unwrap_or_default().iter();
    let others = others.filter(|port| job.outputs.iter().all(|o| o.name.value != port.name.value));
    for (name, span) in declared.chain(others.map(|port| (port.name.value.as_str(), None))) {
        match level.written(name) {
            Some((step, output, _)) => plan.outputs.push(JobOutput { name: name.to_owned(), step, output }),
            None => found.extend(span.map(|span| unbound(name, span))),
        }
    }
    (plan.steps, plan.outputs) = in_order(steps, plan.outputs, found)?;
    outputs::follow(&mut plan.steps);
    Some(plan)
}

/// Gives the steps of `on_init` and `on_finalize` their turn.
fn phases(settings: &crate::spec::settings::Settings, level: &Level<'_>, steps: &mut [Step]) {
    let named = |name: &Option<String>| name.as_ref().and_then(|n| level.node(n)).map(|node| level.steps(node));
    let init = named(&settings.on_init).unwrap_or_default();
    for &step in &named(&settings.on_finalize).unwrap_or_default() {
        steps[step].phase = Phase::Finalize;
    }
    for &step in &init {
        steps[step].phase = Phase::Init;
    }
    if init.is_empty() {
        return;
    }
    for step in steps.iter_mut().filter(|s| s.phase == Phase::Main) {
        step.needs.extend(&init);
        step.needs.sort_unstable();
        step.needs.dedup();
    }
}

/// Fields that change nothing on this machine, with the number of nodes that have them.
fn without_effect(nodes: &[Node]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for node in nodes {
        let mut fields: Vec<&'static str> = match &node.body {
            NodeBody::Pipeline(inner) => without_effect(&inner.nodes).into_keys().collect(),
            body => match body.component() {
                Some(component) => node.settings.or(&component.body.settings).fields(),
                None => node.settings.fields(),
            },
        };
        fields.sort_unstable();
        fields.dedup();
        for field in fields {
            *counts.entry(field).or_insert(0) += 1;
        }
    }
    counts
}

fn notes(fields: &BTreeMap<&'static str, usize>, steps: usize) -> Vec<String> {
    if fields.is_empty() {
        return Vec::new();
    }
    let names = fields.keys().copied().collect::<Vec<_>>().join(", ");
    let verb = if fields.len() == 1 { "has" } else { "have" };
    let whose = if steps == 1 { "the step runs" } else { "all steps run" };
    vec![format!("{names} {verb} no effect here: {whose} on this machine")]
}
