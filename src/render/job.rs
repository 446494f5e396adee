//! Runs and steps with the field names of `az ml job show`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::event::{OutputInfo, RunView, StepView};
use crate::handle::Handle;
use crate::history::find::Job;
use crate::history::record::kept_plan;
use crate::number;
use crate::outcome::{JobStatus, StepOutcome};
use crate::plan::{Part, Plan, Step};
use crate::secret::MASK;

/// What a standalone job takes from its only step.
const OF_THE_ONLY_STEP: [&str; 14] = [
    "samples",
    "best_child",
    "children",
    "command",
    "environment",
    "process_groups",
    "error",
    "log",
    "logs",
    "inputs",
    "metrics",
    "assets",
    "reused_from",
    "substitute",
];

/// A run or one of its steps. The inputs may be unknown for a run of an older amlrun.
pub(crate) fn show_job(job: &Job) -> Value {
    let plan = kept_plan(&job.run).ok();
    let Some(path) = &job.step else { return show(&job.view, plan.as_ref()) };
    let Some(step) = job.view.step(path) else { return Value::Null };
    let mut answer = show_step(&job.view, step, plan.as_ref());
    if let Value::Object(map) = &mut answer {
        map.insert("experiment_name".to_owned(), json!(job.view.experiment));
        map.insert("parent_job_name".to_owned(), json!(job.view.run));
    }
    answer
}

/// A run.
pub(crate) fn show(view: &RunView, plan: Option<&Plan>) -> Value {
    let mut answer = json!({
        "name": view.run,
        "display_name": view.display_name.as_deref().unwrap_or(&view.run),
        "type": view.kind,
        "status": view.status,
        "experiment_name": view.experiment,
        "description": view.description,
        "tags": view.tags.iter().cloned().collect::<BTreeMap<_, _>>(),
        "creation_context": { "created_at": view.started.map(|t| t.to_string()) },
        "start_time": view.started.map(|t| t.to_string()),
        "end_time": view.ended.map(|t| t.to_string()),
        "duration_seconds": seconds(view.started, view.ended),
        "inputs": plan.map(job_inputs),
        "outputs": outputs(&view.run, &view.outputs),
        "job_file": view.job_file,
    });
    let Value::Object(map) = &mut answer else { return answer };
    let roots: Vec<&StepView> = view.roots().collect();
    match roots.as_slice() {
        [step] if view.kind != "pipeline" => {
            // A standalone job has one step, which is the job.
            let mut own = show_step(view, step, plan);
            for name in OF_THE_ONLY_STEP {
                if let Some(value) = own.get_mut(name) {
                    map.insert(name.to_owned(), value.take());
                }
            }
            if view.outputs.is_empty() {
                map.insert("outputs".to_owned(), own["outputs"].take());
            }
        }
        steps => {
            let steps = steps.iter().map(|step| (step.path.clone(), show_step(view, step, plan)));
            map.insert("jobs".to_owned(), Value::Object(steps.collect()));
        }
    }
    answer
}

/// An entry in a list.
pub(crate) fn brief(view: &RunView) -> Value {
    json!({
        "name": view.run,
        "display_name": view.display_name.as_deref().unwrap_or(&view.run),
        "type": view.kind,
        "status": view.status,
        "experiment_name": view.experiment,
        "created_at": view.started.map(|t| t.to_string()),
        "duration_seconds": seconds(view.started, view.ended),
    })
}

fn show_step(view: &RunView, step: &StepView, plan: Option<&Plan>) -> Value {
    let mut answer = show_only(step, plan);
    let Value::Object(fields) = &mut answer else { return answer };
    let parameters = step.parameters.iter().cloned().collect::<Map<_, _>>();
    let children = view.children(step).map(|child| (child.path.clone(), show_step(view, child, plan)));
    let children = children.collect::<Map<_, _>>();
    // Most steps have none of these.
    let more = [
        ("samples", (!step.samples.is_empty()).then(|| json!(step.samples))),
        ("parameters", (!parameters.is_empty()).then_some(Value::Object(parameters))),
        ("score", step.score.map(number::json)),
        ("stopped_because", step.stopped.as_ref().map(|why| json!(why))),
        ("best_child", step.best.as_ref().map(|best| json!(best))),
        ("children", (!children.is_empty()).then_some(Value::Object(children))),
    ];
    fields.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    answer
}

fn show_only(step: &StepView, plan: Option<&Plan>) -> Value {
    let metrics = step.metrics.iter().map(|(name, value)| (name.clone(), number::json(*value)));
    let logs = step.logs.iter().map(|process| (process.process.clone(), json!(process.log)));
    let planned = plan.and_then(|plan| Some((plan, &plan.steps[plan.step(&step.path)?])));
    json!({
        "name": step.job,
        "display_name": step.display_name.as_deref().unwrap_or(&step.path),
        "type": step.kind,
        "status": step.status,
        "substitute": step.substitute,
        "start_time": step.started.map(|t| t.to_string()),
        "end_time": step.ended.map(|t| t.to_string()),
        "duration_seconds": seconds(step.started, step.ended),
        "error": why(step),
        "reused_from": step.reused_from,
        "attempt": step.attempt,
        "command": step.command,
        "environment": step.environment,
        "process_groups": running_groups(step),
        "log": step.log,
        "logs": (!step.logs.is_empty()).then(|| logs.collect::<Map<_, _>>()),
        "inputs": planned.map(|(plan, step)| step_inputs(plan, step)),
        "outputs": outputs(&step.job, &step.outputs),
        "assets": step.assets,
        "metrics": metrics.collect::<Map<_, _>>(),
    })
}

/// The process groups of a running step, so that a debugger or profiler can be attached.
fn running_groups(step: &StepView) -> Option<&[i32]> {
    match &step.handle {
        Some(Handle::ProcessGroups(groups)) if step.status == JobStatus::Running => Some(groups),
        _ => None,
    }
}

fn job_inputs(plan: &Plan) -> Value {
    let inputs = plan.inputs.iter();
    Value::Object(inputs.map(|input| (input.name.clone(), value(plan, &input.value.parts, &input.kind))).collect())
}

/// The inputs of a step that have a value.
pub(crate) fn step_inputs(plan: &Plan, step: &Step) -> Value {
    let given = step.inputs.iter().filter_map(|input| Some((input, input.value.as_ref()?)));
    Value::Object(given.map(|(input, given)| (input.name.clone(), value(plan, &given.parts, &input.kind))).collect())
}

/// A literal as text, or data by its type and location. Secrets are left out.
fn value(plan: &Plan, parts: &[Part], kind: &crate::plan::PortType) -> Value {
    let text = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Secret(_) => MASK.to_owned(),
        Part::Path(path) => path.display().to_string(),
        Part::Remote(remote) => remote.uri.clone(),
        Part::Input(name) => format!("${{{{inputs.{name}}}}}"),
        Part::Output { step, output } => format!("${{{{parent.jobs.{}.outputs.{output}}}}}", plan.steps[*step].path),
    });
    let text = text.collect::<String>();
    if kind.is_data() { json!({ "type": kind.to_string(), "path": text }) } else { json!(text) }
}

/// Outputs with their local paths, and the address by which another job can use them as an input.
fn outputs(job: &str, outputs: &[OutputInfo]) -> Value {
    let each = outputs.iter().map(|output| {
        let OutputInfo { name, kind, path, files, bytes, .. } = output;
        let uri = output.uri(job);
        (name.clone(), json!({ "type": kind, "path": path, "uri": uri, "files": files, "bytes": bytes }))
    });
    Value::Object(each.collect())
}

fn why(step: &StepView) -> Option<String> {
    match &step.outcome {
        Some(StepOutcome::Failed { failure }) => Some(failure.to_string()),
        Some(StepOutcome::Skipped { reason }) => Some(reason.to_string()),
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<f64> {
    Some(to?.since(from?).as_millis() as f64 / 1000.0)
}
