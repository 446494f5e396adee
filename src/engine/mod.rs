//! Runs a plan: which step is next, how it is prepared, and what becomes of its outputs.
//!
//! Before anything runs, [`decide()`] finds the steps whose earlier results can be reused (see [`cache`]); `amlrun plan`
//! shows the same decisions. [`dispatch`] is the one loop that owns the state of a run; [`schedule`] is its pure state
//! machine. A step passes `staging` (remote data is fetched), `prepare` (folders, code, inputs, command), `launch`, the
//! executor, and `collect` (outputs are sealed, put in their places and registered). `environment` builds the variables
//! that Azure ML promises to every step, and `outputs` holds what is known of outputs during the run.
//!
//! The engine sees plans, events, executors, the store and the results of earlier runs. Of the registry and the tracking
//! server it knows only the [`Workspace`] trait, which the command line implements; it knows no terminals and no signals.

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

/// A run to be made: everything the engine needs to know, none of which changes while it runs.
pub struct Request {
    /// What to run.
    pub plan: Plan,
    /// The run's folder.
    pub run: RunFolder,
    /// The workspace under a path that shells take as one word.
    pub home: Home,
    /// The experiment's name.
    pub experiment: String,
    /// The job file, for the record.
    pub job_file: PathBuf,
    /// How many steps may run at once.
    pub jobs: usize,
    /// How long a step has between TERM and KILL.
    pub grace: Duration,
    /// How many bytes of what a step prints are kept, when somebody says so.
    pub log_limit: Option<u64>,
    /// What opens the storage that this run uses: it is masked in what steps print.
    pub secrets: Arc<[Secret]>,
    /// Variables of this process that steps must not inherit.
    pub hidden: Arc<[String]>,
    /// The variables that all steps of the run have alike.
    pub common: Vec<(String, String)>,
    /// What is amiss already, for the record.
    pub warnings: Vec<String>,
    /// What earlier runs made; `None` when that cannot be read.
    pub reuse: Option<Arc<Reuse>>,
    /// The job name of each step.
    pub jobs_of_steps: Vec<String>,
    /// What is known of the plan's inputs and code.
    pub snapshot: InputSnapshot,
    /// What was decided of each step before the run.
    pub decisions: Vec<Decision>,
    /// What is to run whatever was made before.
    pub force: Force,
    /// When the run goes on from an earlier one: what that left.
    pub resumed: Option<Resumed>,
    /// Notified when single steps are to be canceled: which, is in the run's folder.
    pub cancels: Arc<Notify>,
}

/// What a run left that goes on now.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// The outputs of the steps that completed, by index.
    pub done: BTreeMap<usize, Vec<OutputInfo>>,
    /// How often each step was tried, by index.
    pub attempts: BTreeMap<usize, u32>,
    /// The steps that are to run now, by index. The others stay as they are.
    pub open: BTreeSet<usize>,
    /// Whether a step that stays as it is did not complete: then the run does not complete either.
    pub incomplete: bool,
}

impl Request {
    /// The job name of a step: the run's own name for a standalone command job.
    #[must_use]
    pub fn step_job(&self, step: usize) -> String {
        self.jobs_of_steps[step].clone()
    }

    /// Which try of a step comes first in this run, from 1.
    fn first_attempt(&self, step: usize) -> u32 {
        1 + self.resumed.as_ref().and_then(|r| r.attempts.get(&step)).copied().unwrap_or(0)
    }

    /// The folder of a step's output. A later try gets one of its own: what an earlier one left stays to be looked at.
    fn tree(&self, step: usize, output: &str, attempt: u32) -> PathBuf {
        self.home.output(&self.run.name, &self.plan.steps[step].path, output, attempt)
    }

    /// The address of a step's output: the folder, or the file in its folder.
    fn output(&self, step: usize, output: &str, attempt: u32) -> PathBuf {
        let tree = self.tree(step, output, attempt);
        match self.plan.steps[step].outputs.iter().find(|o| o.name == output) {
            Some(o) if o.kind == PortType::UriFile => tree.join(output),
            _ => tree,
        }
    }

    /// The workspace itself, of which `home` may be seen through a link.
    fn root(&self) -> &Path {
        self.run.workspace()
    }

    /// A path of the workspace as steps see it.
    fn seen(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.root()).map_or_else(|_| path.to_owned(), |inner| self.home.root().join(inner))
    }

    /// A path that steps see, as the record tells it: in the workspace itself, not through the link.
    fn recorded(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.home.root()).map_or_else(|_| path.to_owned(), |inner| self.root().join(inner))
    }
}

/// An output that is to become an asset.
pub struct OutputAsset<'a> {
    /// The name it gets.
    pub asset: &'a AssetName,
    /// Its type.
    pub kind: PortType,
    /// Where it lies, sealed.
    pub path: PathBuf,
    /// The step that made it.
    pub step: &'a str,
    /// The job name of that step.
    pub job: &'a str,
}

/// What a step told the tracking server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracked {
    /// The last value of each metric.
    pub metrics: Vec<(String, f64)>,
    /// The models that it registered itself, as `name:version`.
    pub models: Vec<String>,
}

/// What the engine asks of the workspace around it. Calls block for a database's time, not longer.
pub trait Workspace: Send + Sync + 'static {
    /// A step is about to start: makes its MLflow run and gives the variables that lead there.
    ///
    /// # Errors
    /// A sentence; the step then runs without tracking.
    fn begin_step(&self, step: &str, job: &str, artifacts: PathBuf) -> Result<Vec<(String, String)>, String>;

    /// A step ended: closes its MLflow run and tells what the step logged there.
    ///
    /// # Errors
    /// A sentence; the run goes on.
    fn end_step(&self, step: &str, job: &str, status: JobStatus) -> Result<Tracked, String>;

    /// Fetches remote data, each unless it is here already, and gives where each lies and what was moved for it. Takes as
    /// long as that takes, or until somebody wants the run to stop.
    ///
    /// # Errors
    /// A sentence; the step then fails.
    fn fetch(&self, wanted: &[&Remote], step: &str, stop: &StopWatch) -> Result<Vec<(PathBuf, Moved)>, String>;

    /// Puts a sealed output into its remote place, unless it is there already.
    ///
    /// # Errors
    /// A sentence; the step then fails, and keeps what it wrote.
    fn upload(&self, from: &Path, to: &Remote, step: &str, stop: &StopWatch) -> Result<Moved, String>;

    /// Registers a sealed output and gives its id, `name:version`.
    ///
    /// # Errors
    /// A sentence; the step then fails, because somebody will look for that asset.
    fn register(&self, made: &OutputAsset<'_>) -> Result<String, String>;

    /// The id of an asset of that name that lies at that place already.
    fn registered(&self, made: &OutputAsset<'_>) -> Option<String>;
}

/// The engine's surroundings.
pub struct Services<E, W> {
    /// What runs commands.
    pub executor: Arc<E>,
    /// Registry and tracking.
    pub workspace: Arc<W>,
    /// Who is told.
    pub bus: Arc<Bus>,
}
