//! What steps that run others ask of the dispatch loop, and what it tells them.

use std::ops::Range;

use tokio::sync::{mpsc, oneshot};

use crate::exec::Stop;
use crate::outcome::StepOutcome;
use crate::plan::Step;

/// A request of a parent to the dispatch loop.
pub(super) enum ChildRequest {
    /// Add steps.
    Add(NewSteps),
    /// Stop a step that was added.
    Stop {
        /// Its number.
        step: usize,
        /// How.
        how: Stop,
        /// Why, for the record; `None` if its parent is to stop as well.
        why: Option<String>,
    },
}

/// Steps to be added.
pub(super) struct NewSteps {
    /// The step that they belong to.
    pub parent: usize,
    /// Makes them. It gets the number of the first one.
    pub make: Box<dyn FnOnce(usize) -> Vec<Step> + Send>,
    /// The job name of the only one; otherwise the names follow from the paths.
    pub job: Option<String>,
    /// What the parent gives them, for the record.
    pub parameters: Vec<(String, serde_json::Value)>,
    /// The outputs that the parent takes, by the position of the step.
    pub taken: Vec<(usize, String)>,
    /// Receives the end of each.
    pub ends: mpsc::UnboundedSender<ChildEnd>,
    /// Receives their numbers; `None` if nothing may start any more.
    pub added: oneshot::Sender<Option<Range<usize>>>,
}

/// The end of a step that was added.
#[derive(Clone, Debug)]
pub(super) struct ChildEnd {
    /// Its number.
    pub step: usize,
    /// How it ended.
    pub outcome: StepOutcome,
    /// The last values of its metrics.
    pub metrics: Vec<(String, f64)>,
    /// The job whose result it got.
    pub reused_from: Option<String>,
}
