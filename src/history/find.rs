//! Finds what the user names on the command line: a run by its name or a prefix of it, a step by its job name.
//!
//! Addresses in files need full run names: what they refer to must not change when another run is made.

use super::record;
use crate::again::amlrun;
use crate::diagnostic::suggest;
use crate::error::Failed;
use crate::event::{OutputInfo, RunView, StepView};
use crate::store::below;
use crate::store::{Home, RunFolder, StoreError};
use std::path::PathBuf;

/// A job: a run, or one of its steps.
pub(crate) struct Job {
    /// The run's folder.
    pub run: RunFolder,
    /// The run as recorded.
    pub view: RunView,
    /// The step's path, if the job is a step of a pipeline.
    pub step: Option<String>,
}

impl Job {
    /// The step that this job is, or the only step of a standalone command job.
    pub(crate) fn step(&self) -> Option<&StepView> {
        match &self.step {
            Some(path) => self.view.step(path),
            // A sweep has its trials beside it.
            None if self.view.kind != "pipeline" && self.view.steps.len() == 1 => self.view.steps.first(),
            None => None,
        }
    }

    /// The job's outputs.
    pub(crate) fn outputs(&self) -> &[OutputInfo] {
        match (self.step(), &self.step) {
            (Some(step), Some(_)) => &step.outputs,
            (Some(step), None) if self.view.outputs.is_empty() => &step.outputs,
            _ => &self.view.outputs,
        }
    }

    /// Where a job's artifacts are. On Azure ML, `outputs/` and `logs/` of the working directory, `user_logs/` and the
    /// MLflow artifacts are one folder. Here each is looked up where it is stored. The empty path is the working
    /// directory; for a pipeline, it is the artifacts of its own MLflow run.
    pub(crate) fn artifact(&self, path: &str) -> PathBuf {
        match self.step() {
            Some(step) => {
                let folder = self.run.step(&step.path);
                let in_step = path == "user_logs" || path.starts_with("user_logs/");
                let left = below(if in_step { folder.path.clone() } else { folder.wd() }, path);
                let artifacts = if self.view.kind == "pipeline" { folder.artifacts() } else { self.run.artifacts() };
                let logged = below(artifacts, path);
                if !path.is_empty() && !left.exists() && logged.exists() { logged } else { left }
            }
            None => below(self.run.artifacts(), path),
        }
    }
}

/// How many candidates are listed.
const LISTED: usize = 5;

/// The run of that name, or the only run whose name has that prefix.
pub(crate) fn run(home: &Home, name: &str) -> Result<RunFolder, Failed> {
    match home.find_run(name) {
        Err(missing @ StoreError::NoSuchRun { .. }) => beginning(home, name)?.ok_or_else(|| missing.into()),
        found => Ok(found?),
    }
}

/// The run, or the step of a run, with that job name; or the only run whose name has that prefix.
pub(crate) fn job(home: &Home, name: &str) -> Result<Job, Failed> {
    home.check()?;
    let missing = match by_job_name(home, name) {
        Ok(job) => return Ok(job),
        Err(missing) => missing,
    };
    let Some(run) = beginning(home, name)? else { return Err(Failed::not_found(missing)) };
    Ok(Job { view: record::view(&run)?, run, step: None })
}

/// The run with the latest event.
pub(crate) fn last(home: &Home) -> Result<RunFolder, Failed> {
    let written = |run: &RunFolder| std::fs::metadata(run.events()).and_then(|record| record.modified()).ok();
    let runs = home.runs()?.into_iter().filter_map(|run| Some((written(&run)?, run)));
    let newest = runs.max_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
    newest.map(|(_, run)| run).ok_or_else(|| {
        Failed::not_found("this workspace has no runs yet").hint(format!("start one: {}", amlrun("run pipeline.yml")))
    })
}

/// The only run whose name has that prefix. `None` if there is no such run.
fn beginning(home: &Home, name: &str) -> Result<Option<RunFolder>, Failed> {
    let mut runs = home.runs()?;
    runs.retain(|run| !name.is_empty() && run.name.as_str().starts_with(name));
    if runs.len() < 2 {
        return Ok(runs.pop());
    }
    runs.sort_by(|a, b| a.name.cmp(&b.name));
    let count = runs.len();
    let mut names: Vec<&str> = runs.iter().take(LISTED).map(|run| run.name.as_str()).collect();
    names.extend((count > LISTED).then_some("…"));
    Err(Failed::not_found(format!("{count} runs have names that start with '{name}'"))
        .hint(format!("use more of the name: {}", names.join(", "))))
}

/// The run or step with that job name.
///
/// # Errors
/// A message with a similar name.
pub(crate) fn by_job_name(home: &Home, name: &str) -> Result<Job, String> {
    let read = |run: &RunFolder| record::view(run).map_err(|failed| failed.to_string());
    let missing = match home.find_run(name) {
        Ok(run) => return Ok(Job { view: read(&run)?, run, step: None }),
        Err(missing) => missing.to_string(),
    };
    // A step's job name is its run's name, a dash, and its path with dashes. Both parts may contain more dashes.
    let mut known = Vec::new();
    for (at, _) in name.match_indices('-').rev().filter(|(at, _)| *at > 0) {
        let Ok(run) = home.find_run(&name[..at]) else { continue };
        let view = read(&run)?;
        let step = view.steps.iter().find(|step| step.job == name).map(|step| step.path.clone());
        if step.is_some() {
            return Ok(Job { run, view, step });
        }
        known.extend(view.steps.into_iter().map(|step| step.job));
    }
    match suggest::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => Err(format!("the job '{name}' was not found; did you mean '{near}'?")),
        None => Err(missing),
    }
}
