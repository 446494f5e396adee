//! What the engine needs from its caller: the workspace, and the environments of steps.
//!
//! The engine knows the registry, the tracking server and the kinds of environments only through these traits.

use std::any::Any;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::Request;
use crate::event::{Bus, Moved};
use crate::exec::{Executor, StopWatch};
use crate::outcome::{Failure, JobStatus};
use crate::plan::{AssetName, Command, PortType, Remote};

/// The services that the engine uses.
#[derive(Clone)]
pub struct Services {
    /// Registry, tracking and remote data.
    pub workspace: Arc<dyn Workspace>,
    /// The environments of steps.
    pub environments: Arc<dyn EnvironmentProvider>,
    /// Receives the events.
    pub bus: Arc<Bus>,
}

/// Why a service could not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// It may work later: a server did not answer, or refused because it was busy.
    #[error("{0}")]
    Transient(String),
    /// It fails again unless something is changed.
    #[error("{0}")]
    Permanent(String),
}

impl ServiceError {
    /// A permanent error with the text of another error.
    #[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
    pub fn permanent(error: impl ToString) -> Self {
        Self::Permanent(error.to_string())
    }

    /// The same error, with a sentence made of its text.
    #[must_use]
    pub fn reworded(self, sentence: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Transient(text) => Self::Transient(sentence(&text)),
            Self::Permanent(text) => Self::Permanent(sentence(&text)),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Transient(message) => Self::Unavailable { message },
            ServiceError::Permanent(message) => Self::Other { message },
        }
    }
}

/// Provides the environments of steps.
pub trait EnvironmentProvider: Send + Sync {
    /// Makes the environment of a step ready, which may take minutes, and returns it. An error fails the step.
    fn provide<'a>(&'a self, step: &'a str, command: &'a Command, stop: StopWatch) -> Providing<'a>;
}

/// An environment that is being made ready.
pub type Providing<'a> = Pin<Box<dyn Future<Output = Result<StepEnvironment, ServiceError>> + Send + 'a>>;

/// The environment of a step, ready for its command.
#[derive(Clone)]
pub struct StepEnvironment {
    /// Runs the command. An executor for containers is made for one image.
    pub executor: Arc<dyn Executor>,
    /// The folders in which the step finds programs, in the form of `PATH`. `None` if only the place knows in which it runs.
    pub search_path: Option<String>,
    /// Variables that it sets. Those of the step's author override them.
    pub variables: Vec<(String, String)>,
    /// Its name, if it was built from a definition and is not this machine itself.
    pub name: Option<String>,
    /// What is removed when it is dropped, and must stay until the step has ended.
    pub keeps: Option<Arc<dyn Any + Send + Sync>>,
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

/// The MLflow run of a step.
pub struct StepRun<'a> {
    /// The step.
    pub step: &'a str,
    /// Its job name.
    pub job: String,
    /// The job name of the step that added it.
    pub parent: Option<String>,
    /// The folder of its artifacts.
    pub artifacts: PathBuf,
    /// The parameters of a trial.
    pub parameters: &'a [(String, serde_json::Value)],
}

impl<'a> StepRun<'a> {
    /// The run of a step.
    pub(super) fn of(index: usize, request: &'a Request) -> Self {
        let step = &request.step(index).path;
        Self {
            step,
            job: request.step_job(index),
            parent: request.parent(index).map(|parent| request.step_job(parent)),
            artifacts: request.paths.step(step).real.artifacts(),
            parameters: request.parameters(index),
        }
    }
}

/// What a step logged to the tracking server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracked {
    /// The last value of each metric.
    pub metrics: Vec<(String, f64)>,
    /// The models that it registered itself, as `name:version`.
    pub models: Vec<String>,
}

/// What the engine needs from the workspace. Calls block for the time of a database access, unless they say otherwise.
pub trait Workspace: Send + Sync {
    /// A step is about to start: creates its MLflow run and returns the variables that lead there.
    ///
    /// # Errors
    /// The step then runs without tracking.
    fn begin_step(&self, run: &StepRun<'_>) -> Result<Vec<(String, String)>, ServiceError>;

    /// The values of a metric that a job logged so far, in the order of time. None if it cannot be read.
    fn metric_history(&self, job: &str, metric: &str) -> Vec<f64>;

    /// Changes whenever a step logs something. `None` without tracking.
    fn metrics_logged(&self) -> Option<watch::Receiver<u64>>;

    /// Adds tags to the MLflow run of a job. An error costs only the tags.
    fn tag(&self, job: &str, tags: &[(String, String)]);

    /// A step ended: closes its MLflow run and returns what the step logged there.
    ///
    /// # Errors
    /// The run continues.
    fn end_step(&self, step: &str, job: &str, status: JobStatus) -> Result<Tracked, ServiceError>;

    /// Fetches remote data unless there is a local copy, and returns the path of each and what was transferred.
    /// Blocks until the transfer ends or the run is asked to stop.
    ///
    /// # Errors
    /// The step then fails.
    fn fetch(&self, wanted: &[&Remote], step: &str, stop: &StopWatch) -> Result<Vec<(PathBuf, Moved)>, ServiceError>;

    /// Uploads a sealed output to its remote destination, unless it is already there. Blocks until the transfer ends
    /// or the run is asked to stop.
    ///
    /// # Errors
    /// The step then fails, and its output is kept.
    fn upload(&self, from: &Path, to: &Remote, step: &str, stop: &StopWatch) -> Result<Moved, ServiceError>;

    /// Registers a sealed output and returns its id, `name:version`.
    ///
    /// # Errors
    /// The step then fails, because a later job will look for that asset.
    fn register(&self, made: &OutputAsset<'_>) -> Result<String, ServiceError>;

    /// The id of the asset, if one with that name and path is already registered.
    fn registered(&self, made: &OutputAsset<'_>) -> Option<String>;
}
