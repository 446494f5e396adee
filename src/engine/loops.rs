//! Runs conditions and loops: which branch runs, another iteration, the items of a loop (reference, section 2.12).

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::children::Children;
use super::services::StepRun;
use super::state::{CompletedStep, Finished, RunState, blocking, warn};
use super::{Request, sweep, value};
use crate::event::{EventKind, OutputInfo};
use crate::exec::{Stop, StopWatch};
use crate::outcome::{Failure, SkipReason, StepOutcome};
use crate::plan::items::{Item, Items, from_json};
use crate::plan::{Condition, DoWhile, ParallelFor, Part, PortType, StepOutput, Template, Value};
use crate::reuse::Listing;
use crate::store::{seal, tree};

/// Evaluates a condition. The steps of the branch that is not taken are left out.
pub(super) fn decide(condition: &Condition, shared: &RunState) -> Finished {
    let text = value::text(&condition.value, &shared.request, &shared.output_table);
    match text.as_deref().map(value::boolean) {
        Ok(Some(yes)) => {
            let left_out = if yes { &condition.if_false } else { &condition.if_true };
            Finished { left_out: left_out.clone(), ..Finished::new(StepOutcome::Completed) }
        }
        Ok(None) => {
            let text = text.unwrap_or_default();
            Finished::failed(Failure::other(format!("its condition is '{text}', which is neither true nor false")))
        }
        Err(why) => Finished::failed(Failure::other(format!("its condition cannot be read: {why}"))),
    }
}

/// One execution of a loop's body.
struct Instance {
    /// The number of its first step.
    first: usize,
    /// How many of its steps are not over.
    open: usize,
    /// The first step that did not complete, and why.
    failed: Option<(usize, StepOutcome)>,
}

/// A loop that runs.
struct Loop<'a> {
    index: usize,
    template: &'a Template,
    shared: &'a Arc<RunState>,
    children: Children,
    instances: Vec<Instance>,
}

impl<'a> Loop<'a> {
    fn begin(index: usize, template: &'a Template, shared: &'a Arc<RunState>, stop: &StopWatch) -> Self {
        let RunState { request, services, .. } = &**shared;
        if let Err(message) = services.workspace.begin_step(&StepRun::of(index, request)) {
            warn(services, request, index, format!("this step runs without tracking: {message}"));
        }
        services.bus.publish(EventKind::ParentStarted { step: request.step(index).path.clone() });
        let children = Children::of(index, shared, stop.clone());
        Self { index, template, shared, children, instances: Vec::new() }
    }

    /// Starts an instance with these inputs. False if nothing may start any more.
    async fn start(&mut self, name: &str, inputs: HashMap<String, Value>, given: &[(String, Value)]) -> bool {
        let request = &self.shared.request;
        let path = format!("{}.{name}", request.step(self.index).path);
        let taken = self.template.outputs.iter().map(|output| (output.step, output.output.clone())).collect();
        let parameters = given.iter().map(|(name, value)| (name.clone(), shown(value, request))).collect();
        let (shared, index) = (self.shared.clone(), self.index);
        let make = move |first: usize| {
            let parent = shared.request.step(index);
            let template = parent.body.template();
            let steps = template
                .map(|template| template.instantiate(&parent.path, &path, first, &|name| inputs.get(name).cloned()));
            steps.unwrap_or_default()
        };
        let Some(steps) = self.children.add(None, parameters, taken, make).await else { return false };
        self.instances.push(Instance { first: steps.start, open: steps.len(), failed: None });
        true
    }

    /// Waits until an instance is over, and returns its number. `None` if none is open.
    async fn next(&mut self) -> Option<usize> {
        loop {
            let end = self.children.next().await?;
            let number = self.instances.iter().rposition(|instance| instance.first <= end.step)?;
            let instance = &mut self.instances[number];
            // What is skipped because of another step says nothing new: that step failed, or a condition left it out.
            let follows = |reason: &SkipReason| {
                matches!(reason, SkipReason::BranchNotTaken { .. } | SkipReason::DependencyFailed { .. })
            };
            let is_fine = match &end.outcome {
                StepOutcome::Completed => true,
                StepOutcome::Skipped { reason } => follows(reason),
                StepOutcome::Failed { .. } | StepOutcome::Canceled => false,
            };
            if !is_fine && instance.failed.is_none() {
                instance.failed = Some((end.step, end.outcome));
            }
            instance.open -= 1;
            if instance.open == 0 {
                return Some(number);
            }
        }
    }

    /// An output of an instance, as a value for another step.
    fn output(&self, number: usize, name: &str) -> Option<Value> {
        let output = self.template.outputs.iter().find(|output| output.name == name)?;
        let part = Part::Output { step: self.instances[number].first + output.step, output: output.output.clone() };
        Some(Value { parts: vec![part] })
    }

    /// The outputs of an instance under the names of the loop.
    fn outputs(&self, number: usize) -> Vec<OutputInfo> {
        let first = self.instances[number].first;
        let outputs = self.template.outputs.iter().filter_map(|output| {
            let made = self.shared.output_table.output(first + output.step, &output.output)?;
            Some(OutputInfo { name: output.name.clone(), ..made.clone() })
        });
        outputs.collect()
    }

    /// Why an instance failed.
    fn failure(&self, number: usize) -> Option<Failure> {
        let (step, outcome) = self.instances[number].failed.as_ref()?;
        let path = &self.shared.request.step(*step).path;
        Some(Failure::other(match outcome {
            StepOutcome::Failed { failure } => format!("'{path}' failed: {failure}"),
            _ => format!("'{path}' did not complete"),
        }))
    }

    fn show(&self, text: &str) {
        self.shared.services.bus.progress(&self.shared.request.step(self.index).path, text);
    }

    /// The end of the loop.
    async fn end(&self, result: Result<Vec<OutputInfo>, Failure>, stop: &StopWatch) -> Finished {
        let RunState { request, services, .. } = &**self.shared;
        let (shared, index, watch) = (self.shared.clone(), self.index, stop.clone());
        let published = match result {
            Ok(outputs) => blocking(move || sweep::publish(index, &outputs, &shared, &watch).map(|()| outputs)).await,
            Err(failure) => Err(failure),
        };
        let finished = match published {
            _ if *stop.borrow() != Stop::None => Finished::new(StepOutcome::Canceled),
            Ok(outputs) => {
                let completed = Some(CompletedStep::outputs_only(index, outputs.clone()));
                Finished { outputs, completed, ..Finished::new(StepOutcome::Completed) }
            }
            Err(failure) => Finished::failed(failure),
        };
        let (step, job) = (&request.step(index).path, request.step_job(index));
        if let Err(message) = services.workspace.end_step(step, &job, finished.outcome.status()) {
            warn(services, request, index, message.to_string());
        }
        finished
    }
}

/// A value for the record.
fn shown(value: &Value, request: &Request) -> serde_json::Value {
    let text = value.render(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Secret(_) => crate::secret::MASK.to_owned(),
        Part::Path(path) => path.display().to_string(),
        Part::Remote(remote) => remote.uri.clone(),
        Part::Input(name) => name.clone(),
        Part::Output { step, output } => format!("{}.{output}", request.step(*step).path),
    });
    text.into()
}

/// Repeats a body while its condition is true.
pub(super) async fn do_while(index: usize, written: &DoWhile, shared: &Arc<RunState>, stop: &StopWatch) -> Finished {
    let mut repeated = Loop::begin(index, &written.body, shared, stop);
    let result = iterate(written, &mut repeated).await;
    repeated.end(result, stop).await
}

async fn iterate(written: &DoWhile, repeated: &mut Loop<'_>) -> Result<Vec<OutputInfo>, Failure> {
    let shared = repeated.shared;
    let mut inputs = inputs(repeated.index, &shared.request);
    let mut changed: Vec<(String, Value)> = Vec::new();
    for iteration in 1..=written.max_iterations {
        repeated.show(&format!("iteration {iteration} of up to {}", written.max_iterations));
        if !repeated.start(&format!("iteration_{iteration}"), inputs.clone(), &changed).await {
            return Err(Failure::other("it was stopped"));
        }
        let Some(number) = repeated.next().await else { return Err(Failure::other("it was stopped")) };
        if let Some(failure) = repeated.failure(number) {
            return Err(failure);
        }
        let goes_on = match &written.condition {
            None => true,
            Some(name) => {
                let value = repeated.output(number, name);
                let value = value.ok_or_else(|| Failure::other(format!("its body has no output '{name}'")))?;
                let text = value::text(&value, &shared.request, &shared.output_table).map_err(Failure::other)?;
                value::boolean(&text).ok_or_else(|| {
                    Failure::other(format!("its condition '{name}' is '{text}', which is neither true nor false"))
                })?
            }
        };
        if !goes_on || iteration == written.max_iterations {
            return Ok(repeated.outputs(number));
        }
        changed.clear();
        for (output, targets) in &written.mapping {
            let value = repeated.output(number, output);
            let value = value.ok_or_else(|| Failure::other(format!("its body has no output '{output}'")))?;
            for target in targets {
                inputs.insert(target.clone(), value.clone());
                changed.push((target.clone(), value.clone()));
            }
        }
    }
    Err(Failure::other("it has no iterations"))
}

/// The inputs that a loop gives to its body, by name.
fn inputs(index: usize, request: &Request) -> HashMap<String, Value> {
    let inputs = request.step(index).inputs.iter();
    inputs.filter_map(|input| Some((input.name.clone(), input.value.clone()?))).collect()
}

/// Runs a body once for each item.
pub(super) async fn parallel_for(
    index: usize,
    attempt: u32,
    written: &ParallelFor,
    shared: &Arc<RunState>,
    stop: &StopWatch,
) -> Finished {
    let mut repeated = Loop::begin(index, &written.body, shared, stop);
    let result = match items(&written.items, shared) {
        Ok(items) => each(written, &items, attempt, &mut repeated).await,
        Err(why) => Err(Failure::other(format!("its items cannot be read: {why}"))),
    };
    repeated.end(result, stop).await
}

fn items(items: &Items, shared: &RunState) -> Result<Vec<Item>, String> {
    match items {
        Items::Known(items) => Ok(items.clone()),
        Items::Later(value) => {
            let text = value::text(value, &shared.request, &shared.output_table)?;
            let json = serde_json::from_str(&text).map_err(|error| format!("it is no JSON: {error}"))?;
            from_json(&json)
        }
    }
}

async fn each(
    written: &ParallelFor,
    items: &[Item],
    attempt: u32,
    repeated: &mut Loop<'_>,
) -> Result<Vec<OutputInfo>, Failure> {
    let shared = repeated.shared;
    let common = inputs(repeated.index, &shared.request);
    let mut waiting: VecDeque<&Item> = items.iter().collect();
    let (mut open, mut over, mut failed) = (0, 0, Vec::new());
    loop {
        while open < written.max_concurrency.unwrap_or(usize::MAX)
            && let Some(item) = waiting.pop_front()
        {
            let mut inputs = common.clone();
            inputs.extend(item.inputs.iter().cloned());
            if !repeated.start(&format!("item_{}", plain(&item.name)), inputs, &item.inputs).await {
                waiting.clear();
                break;
            }
            open += 1;
        }
        repeated.show(&format!("{over} of {} items", items.len()));
        let Some(number) = repeated.next().await else { break };
        open -= 1;
        over += 1;
        failed.extend(repeated.failure(number));
    }
    if let Some(first) = failed.first() {
        return Err(Failure::other(match items.len() {
            1 => first.to_string(),
            all => format!("{} of {all} items failed: {first}", failed.len()),
        }));
    }
    if repeated.instances.len() < items.len() {
        return Err(Failure::other("it was stopped"));
    }
    let instances: Vec<Vec<OutputInfo>> = (0..items.len()).map(|number| repeated.outputs(number)).collect();
    let (shared, index) = (shared.clone(), repeated.index);
    let names: Vec<String> = items.iter().map(|item| plain(&item.name)).collect();
    blocking(move || collect(index, attempt, &names, &instances, &shared)).await
}

/// The name of an item as part of a path.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }).collect()
}

/// Collects the outputs of all items: data as a table with the folders of the items, values as a JSON list.
fn collect(
    index: usize,
    attempt: u32,
    names: &[String],
    instances: &[Vec<OutputInfo>],
    shared: &RunState,
) -> Result<Vec<OutputInfo>, Failure> {
    let request = &shared.request;
    let mut all = Vec::new();
    for output in &request.step(index).outputs {
        let place = request.output(index, &output.name, attempt);
        let made: Vec<(&str, Option<&OutputInfo>)> = names
            .iter()
            .zip(instances)
            .map(|(name, made)| (name.as_str(), made.iter().find(|made| made.name == output.name)))
            .collect();
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::other(format!("its output '{}' cannot be collected: {error}", output.name))
        };
        put_together(output, &made, &place, request).map_err(|error| wrong(&error))?;
        seal::seal(&place).map_err(|error| wrong(&error))?;
        let listing = Listing::of(&place).map_err(|error| wrong(&error))?;
        all.push(OutputInfo {
            name: output.name.clone(),
            kind: output.kind.to_string(),
            path: request.paths.to_real(&place),
            files: listing.files.len() as u64,
            bytes: listing.bytes,
            fingerprint: listing.fingerprint().to_string(),
        });
    }
    Ok(all)
}

fn put_together(
    output: &StepOutput,
    made: &[(&str, Option<&OutputInfo>)],
    place: &Path,
    request: &Request,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let visible = |info: &OutputInfo| request.paths.to_visible(&info.path);
    if !output.kind.is_data() {
        let one = |info: &OutputInfo| -> Result<serde_json::Value, String> {
            let kind = info.kind.as_str();
            let kind = PortType::named(kind).unwrap_or(PortType::String);
            let value = value::read(&visible(info), kind)?;
            Ok(match kind {
                PortType::Boolean => (value == "True").into(),
                PortType::Integer | PortType::Number => {
                    serde_json::from_str(&value).unwrap_or(serde_json::Value::String(value))
                }
                _ => value.into(),
            })
        };
        let values = made.iter().map(|(_, info)| info.map_or(Ok(serde_json::Value::Null), one));
        let list = values.collect::<Result<Vec<_>, _>>()?;
        let folder = place.parent().unwrap_or(place);
        std::fs::create_dir_all(folder).map_err(|e| text(&e))?;
        return std::fs::write(place, serde_json::Value::Array(list).to_string()).map_err(|e| text(&e));
    }
    std::fs::create_dir_all(place).map_err(|e| text(&e))?;
    // Copies, because a hard link would change the stat of the items' own outputs, by which they are known.
    let mut table = String::from("paths:\n");
    for (name, info) in made {
        let Some(info) = info else { continue };
        let from = visible(info);
        let to = place.join(format!("item_{name}"));
        if from.is_file() {
            std::fs::create_dir_all(&to).map_err(|e| text(&e))?;
            let file_name = from.file_name().unwrap_or_default();
            let file = to.join(file_name);
            tree::copy_tree(&from, &file).map_err(|e| text(&e))?;
            table.push_str(&format!("  - file: ./item_{name}/{}\n", file_name.to_string_lossy()));
        } else {
            tree::copy_tree(&from, &to).map_err(|e| text(&e))?;
            table.push_str(&format!("  - folder: ./item_{name}\n"));
        }
    }
    std::fs::write(place.join("MLTable"), table).map_err(|e| text(&e))
}
