//! Runs a plan: decides which step is next, prepares it, and handles its outputs.
//!
//! Before anything runs, [`decide()`] finds the steps whose earlier results can be reused (see [`cache`]);
//! `amlrun plan` shows the same decisions. [`dispatch`] is the one loop that owns the state of a run; [`schedule`] is
//! its pure state machine. A step passes `staging` (fetches remote data), `prepare` (folders, code, inputs, command),
//! `launch`, the executor, and `collect` (outputs are sealed, published and registered). `environment` builds the
//! variables that Azure ML promises to every step, and `outputs` holds what is known of outputs during the run.
//!
//! The engine uses plans, events, executors, the store and the results of earlier runs. It knows the registry and the
//! tracking server only through the [`Workspace`] trait, which its caller implements. It knows nothing of terminals
//! and signals.

mod cache;
mod collect;
pub mod dispatch;
mod environment;
pub mod inspect;
mod launch;
mod mltable;
mod outputs;
mod prepare;
mod protect;
pub mod schedule;
mod staging;
mod state;
mod step;
mod unchanged;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::event::{Bus, Moved, OutputInfo};
use crate::exec::StopWatch;
use crate::outcome::JobStatus;
use crate::plan::{AssetName, Plan, PortType, Remote};
use crate::reuse::Reuse;
use crate::secret::Secret;
use crate::store::{Home, RunFolder};

pub use cache::{CacheDecision, CachedResult, Decision, Force, InputSnapshot, Seen, decide, scope, windows_scripts};
pub use dispatch::{run, step_info};
pub use environment::common;

/// A request to run a plan: everything that the engine needs to know. None of it changes during the run.
pub struct Request {
    /// The plan to run.
    pub plan: Plan,
    /// The run's folder.
    pub run: RunFolder,
    /// The workspace, by a path that shells read as one word.
    pub home: Home,
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
}

impl Request {
    /// The job name of a step: the run's own name for a standalone command job.
    #[must_use]
    pub fn step_job(&self, step: usize) -> String {
        self.jobs_of_steps[step].clone()
    }

    /// The number of a step's first attempt in this run, from 1.
    fn first_attempt(&self, step: usize) -> u32 {
        1 + self.resumed.as_ref().and_then(|r| r.attempts.get(&step)).copied().unwrap_or(0)
    }

    /// The folder of a step's output. A later attempt gets its own folder, so that you can inspect what an earlier
    /// one wrote.
    fn tree(&self, step: usize, output: &str, attempt: u32) -> PathBuf {
        self.home.output(&self.run.name, &self.plan.steps[step].path, output, attempt)
    }

    /// The path of a step's output: the folder, or the file in its folder.
    fn output(&self, step: usize, output: &str, attempt: u32) -> PathBuf {
        let tree = self.tree(step, output, attempt);
        match self.plan.steps[step].outputs.iter().find(|o| o.name == output) {
            Some(o) if o.kind == PortType::UriFile => tree.join(output),
            _ => tree,
        }
    }

    /// The real path of the workspace; `home` may be a link to it.
    fn root(&self) -> &Path {
        self.run.workspace()
    }

    /// A path in the workspace as steps see it.
    fn seen(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root()).map_or_else(|_| path.to_owned(), |inner| self.home.root().join(inner))
    }

    /// A path that steps see, in the form of the record: in the real workspace, not through the link.
    fn recorded(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.home.root()).map_or_else(|_| path.to_owned(), |inner| self.root().join(inner))
    }
}

/// An output that becomes an asset.
pub struct OutputAsset<'a> {
    /// The name of the asset.
    pub asset: &'a AssetName,
    /// Its type.
    pub kind: PortType,
    /// The path of the sealed output.
    pub path: PathBuf,
    /// The step that wrote it.
    pub step: &'a str,
    /// The job name of that step.
    pub job: &'a str,
}

/// What a step logged to the tracking server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracked {
    /// The last value of each metric.
    pub metrics: Vec<(String, f64)>,
    /// The models that it registered itself, as `name:version`.
    pub models: Vec<String>,
}

/// What the engine needs from the workspace. Calls block for the time of a database access, not longer.
pub trait Workspace: Send + Sync + 'static {
    /// A step is about to start: creates its MLflow run and returns the variables that lead there.
    ///
    /// # Errors
    /// A message; the step then runs without tracking.
    fn begin_step(&self, step: &str, job: &str, artifacts: PathBuf) -> Result<Vec<(String, String)>, String>;

    /// A step ended: closes its MLflow run and returns what the step logged there.
    ///
    /// # Errors
    /// A message; the run continues.
    fn end_step(&self, step: &str, job: &str, status: JobStatus) -> Result<Tracked, String>;

    /// Fetches remote data unless there is a local copy, and returns the path of each and what was transferred.
    /// Blocks until the transfer ends or the run is asked to stop.
    ///
    /// # Errors
    /// A message; the step then fails.
    fn fetch(&self, wanted: &[&Remote], step: &str, stop: &StopWatch) -> Result<Vec<(PathBuf, Moved)>, String>;

    /// Uploads a sealed output to its remote destination, unless it is already there.
    ///
    /// # Errors
    /// A message; the step then fails, and its output is kept.
    fn upload(&self, from: &Path, to: &Remote, step: &str, stop: &StopWatch) -> Result<Moved, String>;

    /// Registers a sealed output and returns its id, `name:version`.
    ///
    /// # Errors
    /// A message; the step then fails, because a later job will look for that asset.
    fn register(&self, made: &OutputAsset<'_>) -> Result<String, String>;

    /// The id of the asset, if one with that name and path is already registered.
    fn registered(&self, made: &OutputAsset<'_>) -> Option<String>;
}

/// The services that the engine uses.
pub struct Services<E, W> {
    /// Runs commands.
    pub executor: Arc<E>,
    /// Registry and tracking.
    pub workspace: Arc<W>,
    /// Receives the events.
    pub bus: Arc<Bus>,
}
