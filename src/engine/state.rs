//! The state that all parts of a run share: its request and services, and the end of each step.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc};

use super::cache::CachedResult;
use super::child_request::ChildRequest;
use super::outputs::OutputTable;
use super::{Request, Services};
use crate::clock::Timestamp;
use crate::event::{EventKind, OutputInfo};
use crate::outcome::{Failure, StepOutcome};
use crate::reason::Reason;

/// How a step ended and what it wrote.
pub(super) struct Finished {
    pub outcome: StepOutcome,
    pub outputs: Vec<OutputInfo>,
    /// The earlier result that is reused, if the step did not run.
    pub cached: Option<Box<CachedResult>>,
    /// Why the step ran, or remarks on the result that is reused.
    pub because: Vec<Reason>,
    /// What the recorder needs to store the result for later runs.
    pub completed: Option<CompletedStep>,
    /// The last values of the metrics that it logged.
    pub metrics: Vec<(String, f64)>,
    /// The steps that do not run because of its result: the branch that is not taken.
    pub left_out: Vec<usize>,
}

impl Finished {
    pub(super) fn new(outcome: StepOutcome) -> Self {
        Self {
            outcome,
            outputs: Vec::new(),
            cached: None,
            because: Vec::new(),
            completed: None,
            metrics: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn failed(failure: Failure) -> Self {
        Self::new(StepOutcome::Failed { failure })
    }
}

/// The state that all parts of a run share.
pub(super) struct RunState {
    pub request: Request,
    pub services: Services,
    pub output_table: OutputTable,
    /// The job file, which identifies steps from run to run.
    pub scope: String,
    /// The slots in which processes run.
    pub slots: Arc<Semaphore>,
    /// Takes the requests of steps that run others.
    pub children: mpsc::UnboundedSender<ChildRequest>,
    /// Records the outputs of a step before they are uploaded, because the runner may be killed during the upload.
    pub pending_uploads: Mutex<Option<Sender<CompletedStep>>>,
}

/// A completed step whose result is still to be stored.
pub(super) struct CompletedStep {
    pub index: usize,
    pub outputs: Vec<OutputInfo>,
    pub job: String,
    pub metrics: Vec<(String, f64)>,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// Whether later runs may reuse it.
    pub offered: bool,
    /// Whether to compute its key: not if its inputs changed meanwhile.
    pub key: bool,
}

impl CompletedStep {
    /// Outputs whose digests other steps may need, but which are not reused.
    pub(super) fn outputs_only(index: usize, outputs: Vec<OutputInfo>) -> Self {
        let now = Timestamp(0);
        let (job, metrics) = (String::new(), Vec::new());
        Self { index, outputs, job, metrics, started: now, finished: now, offered: false, key: false }
    }
}

/// Reports something about a step that does not stop it.
pub(super) fn warn(services: &Services, request: &Request, index: usize, message: String) {
    let step = Some(request.step(index).path.clone());
    services.bus.publish(EventKind::Warning { step, message });
}

/// Runs disk and database work on a blocking thread, away from the thread that serves pipes and timers.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(broken) => Err(Failure::internal(broken)),
    }
}
