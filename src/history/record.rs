//! Runs as recorded.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::clock::Timestamp;
use crate::diagnostic::suggest;
use crate::engine;
use crate::error::Failed;
use crate::event::journal::{self, Record};
use crate::event::{Event, EventKind, RunView};
use crate::plan::Plan;
use crate::relative;
use crate::store::RunFolder;
use crate::store::at;
use std::path::PathBuf;

/// The state of a run, from its record. A run whose runner died is `NotResponding`.
pub(crate) fn view(run: &RunFolder) -> Result<RunView, Failed> {
    // Checked before reading: if the runner ends in between, its record is complete by then.
    let live = run.is_live();
    let record = journal::read(&run.events(), run.workspace()).map_err(|error| unreadable(run, &error))?;
    let damaged = record.damaged.clone();
    let mut view = RunView::of(&mended(run, record));
    view.damaged = damaged;
    // A runner that was killed before its first event has left a folder, and the folder has the run's name.
    view.run = run.name.to_string();
    if !live {
        view.runner_is_gone();
    }
    view.end_what_is_lost();
    if !view.damaged.is_empty() {
        // The path of the log may have been in the damaged lines.
        for step in view.steps.iter_mut().filter(|step| step.log.is_none() && step.reused_from.is_none()) {
            step.log = Some(run.step(&step.path).std_log()).filter(|log| log.exists());
        }
    }
    Ok(view)
}

/// The events of a run.
pub(crate) fn events(run: &RunFolder) -> Result<Vec<Event>, Failed> {
    let record = journal::read(&run.events(), run.workspace()).map_err(|error| unreadable(run, &error))?;
    Ok(mended(run, record))
}

fn unreadable(run: &RunFolder, error: &std::io::Error) -> Failed {
    let failed = Failed::new(format!("cannot read the record of run '{}': {error}", run.name));
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failed::new(format!("the run '{}' never started: its runner ended before that", run.name))
                .hint("run its job file again; you can use the same name")
        }
        _ => failed,
    }
}

/// The events of a record that may have damaged lines, which are reported once. A lost first event is restored from the
/// plan.
pub(crate) fn mended(run: &RunFolder, record: Record) -> Vec<Event> {
    let Record { mut events, damaged } = record;
    if damaged.is_empty() {
        return events;
    }
    warn(run, &damaged);
    let begins = events.iter().any(|event| matches!(event.what, EventKind::RunStarted { .. }));
    if let (false, Ok(plan)) = (begins, kept_plan(run)) {
        let time = events.first().map_or(Timestamp(0), |event| event.time);
        events.insert(0, Event { seq: 0, time, what: started(run, &plan) });
    }
    events
}

fn warn(run: &RunFolder, damaged: &[usize]) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(run.name.to_string()) {
        return;
    }
    let lines = damaged.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let what = if damaged.len() == 1 { "line".to_owned() } else { format!("{} lines", damaged.len()) };
    let shown = crate::report::summary::shown(&run.events());
    log::warn!(
        "{shown}: {what} cannot be read and is ignored: {lines} (damaged, or written by a newer version of amlrun)"
    );
}

/// The first event of a run, restored from the files beside its record.
fn started(run: &RunFolder, plan: &Plan) -> EventKind {
    let job = |path: &str| if plan.kind != "pipeline" { run.name.to_string() } else { run.name.step_job(path) };
    let steps = plan.steps.iter().map(|step| engine::step_info(plan, step, job(&step.path)));
    EventKind::RunStarted {
        run: run.name.to_string(),
        kind: plan.kind.clone(),
        display_name: plan.display_name.clone(),
        description: plan.description.clone(),
        experiment: plan.experiment_name.clone().unwrap_or_default(),
        tags: plan.tags.clone(),
        job_file: run.job_file(),
        pid: 0,
        amlrun: String::new(),
        grace: 0,
        locked: None,
        environments: None,
        steps: steps.collect(),
    }
}

/// The error for a step that a run does not have.
pub(crate) fn no_step(view: &RunView, step: &str) -> Failed {
    let names = || view.steps.iter().map(|s| s.path.as_str());
    let failed = Failed::not_found(format!("the run '{}' has no step '{step}'", view.run));
    match suggest::nearest(step, names()) {
        Some(near) => failed.hint(format!("did you mean '{near}'?")),
        None => failed.hint(format!("use one of {}", names().take(20).collect::<Vec<_>>().join(", "))),
    }
}

/// The stored plan of a run.
pub(crate) fn kept_plan(folder: &RunFolder) -> Result<Plan, Failed> {
    let path: PathBuf = folder.plan();
    let text = std::fs::read_to_string(&path).map_err(at("read", &path))?;
    let plan: Plan = serde_json::from_str(&text).map_err(|why| {
        Failed::new(format!("the plan of the run '{}' cannot be read: {why}", folder.name))
            .hint("run its job file again: the plan is from another version of amlrun")
    })?;
    Ok(plan.with_paths(&|path| relative::from(folder.workspace(), path)))
}
