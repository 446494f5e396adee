//! Runs a plan: decides which step is next, prepares it, and handles its outputs.
//!
//! Before anything runs, [`decide()`] finds the steps whose earlier results can be reused (see [`cache`]);
//! `amlrun plan` shows the same decisions. [`dispatch`] is the one loop that owns the state of a run; [`schedule`] is
//! its pure state machine. A step passes `staging` (fetches remote data), `prepare` (folders, code, inputs, command),
//! `launch`, the executor, and `collect` (outputs are sealed, published and registered). `environment` builds the
//! variables that Azure ML promises to every step, `parallel` has the driver of parallel steps, and `outputs` holds what is
//! known of outputs during the run.
//!
//! `sweep` and `loops` run steps that run others. Through `children` they ask the loop to add steps while the run goes on;
//! `added` has these. `copy` runs a step without a process, and `value` reads outputs that are values.
//!
//! The engine uses plans, events, executors, the store and the results of earlier runs. It knows the registry, the
//! tracking server and the environments of steps only through the traits in `services`, which its caller implements.
//! It knows nothing of terminals and signals.

mod added;
mod cache;
mod child_request;
mod children;
mod collect;
mod copy;
pub mod dispatch;
mod environment;
pub mod inspect;
mod launch;
mod loops;
mod mltable;
mod outputs;
mod parallel;
mod paths;
mod prepare;
mod protect;
mod ray;
pub mod schedule;
mod services;
mod staging;
mod state;
mod step;
mod sweep;
#[cfg(test)]
mod tests;
mod unchanged;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::event::OutputInfo;
use crate::plan::{Plan, PortType, Program, Step};
use crate::reuse::Reuse;
use crate::secret::Secret;

use added::AddedStep;
pub use added::{AddedSteps, ResumedChild, ResumedChildren};
pub use cache::{CacheDecision, CachedResult, Decision, Force, InputSnapshot, Seen, decide, scope, windows_scripts};
pub use dispatch::{run, step_info};
pub use environment::common;
pub use paths::{RunPaths, StepPaths};
pub use services::{
    EnvironmentProvider, OutputAsset, Providing, ServiceError, Services, StepEnvironment, StepRun, Tracked, Workspace,
};

/// A request to run a plan: everything that the engine needs to know. None of it changes during the run.
pub struct Request {
    /// The plan to run.
    pub plan: Plan,
    /// The paths of the run.
    pub paths: RunPaths,
    /// The experiment's name.
    pub experiment: String,
    /// The job file, for the record.
    pub job_file: PathBuf,
    /// How many steps may run at the same time.
    pub jobs: usize,
    /// The grace period of a step between TERM and KILL.
    pub grace: Duration,
    /// How many bytes of a step's output are kept, if the user set a limit.
    pub log_limit: Option<u64>,
    /// The credentials for the storage that this run uses: they are masked in the output of steps.
    pub secrets: Arc<[Secret]>,
    /// Variables of this process that steps must not inherit.
    pub hidden: Arc<[String]>,
    /// How environments are provided, for the record; `None` for what is installed on this machine.
    pub environments: Option<String>,
    /// The run whose environments are built again with the same versions, for the record.
    pub locked: Option<String>,
    /// The variables that all steps of the run share.
    pub common: Vec<(String, String)>,
    /// Warnings from before the run, for the record.
    pub warnings: Vec<String>,
    /// The results of earlier runs; `None` if they cannot be read.
    pub reuse: Option<Arc<Reuse>>,
    /// The job name of each step.
    pub jobs_of_steps: Vec<String>,
    /// What is known of the plan's inputs and code.
    pub snapshot: InputSnapshot,
    /// The decision for each step, made before the run.
    pub decisions: Vec<Decision>,
    /// The steps that were added since the run began.
    pub added: AddedSteps,
    /// The steps that run even if an earlier result exists.
    pub force: Force,
    /// What the earlier runner left, if this run is resumed.
    pub resumed: Option<Resumed>,
    /// Notified when single steps are to be canceled. The run's folder says which ones.
    pub cancels: Arc<Notify>,
}

/// What an earlier runner left of a run that is resumed.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// The outputs of the steps that completed, by index.
    pub done: BTreeMap<usize, Vec<OutputInfo>>,
    /// The number of attempts of each step, by index.
    pub attempts: BTreeMap<usize, u32>,
    /// The steps that run now, by index. The others keep their state.
    pub open: BTreeSet<usize>,
    /// Whether a step that keeps its state did not complete. Then the run does not complete either.
    pub incomplete: bool,
    /// What is left of the steps that were added.
    pub children: ResumedChildren,
}

/// Whether a step makes an output itself, in a folder that exists: a file, or the text of a value. Spark also makes
/// folders itself: it writes to none that exists.
fn is_made_by(step: &Step, kind: PortType) -> bool {
    let is_spark = || step.command().is_some_and(|command| command.program == Program::Spark);
    kind == PortType::UriFile || !kind.is_data() || is_spark()
}

impl Request {
    /// A step of the plan, or one that was added.
    #[must_use]
    pub fn step(&self, index: usize) -> &Step {
        self.plan.steps.get(index).unwrap_or_else(|| &self.added_step(index).step)
    }

    /// How many steps there are now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.plan.steps.len() + self.added.count()
    }

    /// The job name of a step: the run's own name for a standalone job.
    #[must_use]
    pub fn step_job(&self, step: usize) -> String {
        self.jobs_of_steps.get(step).unwrap_or_else(|| &self.added_step(step).job).clone()
    }

    /// The step that a step belongs to, if it was added.
    #[must_use]
    pub fn parent(&self, step: usize) -> Option<usize> {
        (step >= self.plan.steps.len()).then(|| self.added_step(step).parent)
    }

    /// What the parent of a step gave it; nothing for a step of the plan.
    fn parameters(&self, step: usize) -> &[(String, serde_json::Value)] {
        if step < self.plan.steps.len() { &[] } else { &self.added_step(step).parameters }
    }

    fn decision(&self, step: usize) -> &Decision {
        self.decisions.get(step).unwrap_or_else(|| &self.added_step(step).decision)
    }

    /// Whether the parent of an added step takes an output of it.
    fn is_taken(&self, step: usize, output: &str) -> bool {
        step >= self.plan.steps.len() && self.added_step(step).taken.iter().any(|taken| taken == output)
    }

    /// The number of a step's first attempt in this run, from 1.
    fn first_attempt(&self, step: usize) -> u32 {
        if step >= self.plan.steps.len() {
            return 1 + self.added_step(step).attempts;
        }
        1 + self.resumed.as_ref().and_then(|r| r.attempts.get(&step)).copied().unwrap_or(0)
    }

    /// All steps with their numbers.
    fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        let first = self.plan.steps.len();
        let added = (first..).zip(self.added.iter().map(|added| &added.step));
        self.plan.steps.iter().enumerate().chain(added)
    }

    fn added_step(&self, index: usize) -> &AddedStep {
        self.added.get(index - self.plan.steps.len())
    }

    /// The path of a step's output: the folder, or the file in its folder.
    fn output(&self, step: usize, output: &str, attempt: u32) -> PathBuf {
        let step = self.step(step);
        let tree = self.paths.output(&step.path, output, attempt);
        match step.outputs.iter().find(|o| o.name == output) {
            Some(o) if is_made_by(step, o.kind) => tree.join(output),
            _ => tree,
        }
    }
}
