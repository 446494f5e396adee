//! What all parts of a run share: its request and services, and what becomes of each step.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::cache::CachedResult;
use super::outputs::OutputTable;
use super::{Request, Services};
use crate::clock::Timestamp;
use crate::event::{OutputInfo, What};
use crate::outcome::{Failure, StepOutcome};
use crate::reason::Reason;

/// How a step ended and what it wrote.
pub(super) struct Finished {
    pub outcome: StepOutcome,
    pub outputs: Vec<OutputInfo>,
    /// The earlier result that stands for it, when it did not run.
    pub cached: Option<Box<CachedResult>>,
    /// Why it ran, or what is to be said of what stands for it.
    pub because: Vec<Reason>,
    /// What is to be found out of it for later runs.
    pub completed: Option<CompletedStep>,
}

impl Finished {
    pub fn new(outcome: StepOutcome) -> Self {
        Self { outcome, outputs: Vec::new(), cached: None, because: Vec::new(), completed: None }
    }

    pub fn broken(message: String) -> Self {
        Self::new(StepOutcome::Failed { failure: Failure::Other { message } })
    }
}

/// What every part of a run shares.
pub(super) struct RunState<E, W> {
    pub request: Request,
    pub services: Services<E, W>,
    pub output_table: OutputTable,
    /// The job file, by which steps are known from run to run.
    pub scope: String,
    /// The places in which processes run.
    pub slots: Arc<Semaphore>,
    /// Where the outputs of a step are recorded before they are uploaded: a runner may be killed during an upload.
    pub pending_uploads: Mutex<Option<Sender<CompletedStep>>>,
}

/// What a step that completed leaves to be found out.
pub(super) struct CompletedStep {
    pub index: usize,
    pub outputs: Vec<OutputInfo>,
    pub job: String,
    pub metrics: Vec<(String, f64)>,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// Whether it may stand for the step in later runs.
    pub offered: bool,
    /// Whether its key is worth knowing: not when what it read changed meanwhile.
    pub key: bool,
}

impl CompletedStep {
    /// Outputs whose digests others may need, but which stand for nothing.
    pub fn outputs_only(index: usize, outputs: Vec<OutputInfo>) -> Self {
        let now = Timestamp(0);
        let (job, metrics) = (String::new(), Vec::new());
        Self { index, outputs, job, metrics, started: now, finished: now, offered: false, key: false }
    }
}

/// Reports something about a step that does not stop it.
pub(super) fn warn<E, W>(services: &Services<E, W>, request: &Request, index: usize, message: String) {
    let step = Some(request.plan.steps[index].path.clone());
    services.bus.say(What::Warning { step, message });
}

/// Disk and database work, off the threads that serve pipes and timers.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(broken) => Err(format!("amlrun made a mistake; please report it: {broken}")),
    }
}
