//! Running a plan: which step next, how a step is laid out, what becomes of what it wrote.
//!
//! [`dispatch`] is the one loop that owns the truth; [`schedule`] is its pure state machine. A step goes through
//! [`prepare`] (folders, code, inputs, command), the executor, and [`collect`] (outputs sealed and registered); its
//! environment is put together in [`contract`], the promise that Azure ML makes to every step.
//!
//! The engine sees plans, events, executors and the store. Of the registry and the tracking server it knows only the
//! [`Workspace`] trait, which the command line implements; of terminals and signals it knows nothing.

mod collect;
mod contract;
pub mod dispatch;
mod prepare;
pub mod schedule;
mod step;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Bus;
use crate::outcome::JobStatus;
use crate::plan::PortType;
use crate::plan::{AssetName, Plan};
use crate::store::{Home, RunFolder};

pub use dispatch::run;

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
    /// Folders to add at the end of a step's `PATH`.
    pub path: Vec<PathBuf>,
    /// What is amiss already, for the record.
    pub warnings: Vec<String>,
}

impl Request {
    /// The job name of a step: the run's own name for a standalone command job.
    #[must_use]
    pub fn step_job(&self, step: usize) -> String {
        if self.plan.kind == "command" {
            self.run.name.to_string()
        } else {
            self.run.name.step_job(&self.plan.steps[step].path)
        }
    }

    /// The address of a step's output: the folder, or the file in its folder.
    #[must_use]
    pub fn output(&self, step: usize, output: &str) -> PathBuf {
        let step = &self.plan.steps[step];
        let tree = self.home.output(&self.run.name, &step.path, output);
        match step.outputs.iter().find(|o| o.name == output) {
            Some(o) if o.kind == PortType::UriFile => tree.join(output),
            _ => tree,
        }
    }
}

/// An output that is to become an asset.
pub struct Made<'a> {
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

    /// Registers a sealed output and gives its id, `name:version`.
    ///
    /// # Errors
    /// A sentence; the step then fails, because somebody will look for that asset.
    fn register(&self, made: &Made<'_>) -> Result<String, String>;
}

/// The engine's surroundings.
pub struct Surroundings<E, W> {
    /// What runs commands.
    pub executor: Arc<E>,
    /// Registry and tracking.
    pub workspace: Arc<W>,
    /// Who is told.
    pub bus: Arc<Bus>,
}
