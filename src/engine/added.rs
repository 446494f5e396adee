//! The steps that are added while a run goes on: trials of a sweep and iterations of loops.
//!
//! A step of the plan whose body makes others is their parent. The dispatch loop adds them for it; they are numbered
//! after the steps of the plan, and everything that works with steps finds them by their numbers.

use std::collections::BTreeMap;

use super::cache::Decision;
use crate::event::OutputInfo;
use crate::plan::Step;

/// The steps that a run added, in the order of their numbers. They are only ever added, so that references stay valid.
#[derive(Default)]
pub struct AddedSteps(boxcar::Vec<AddedStep>);

/// A step that was added.
pub(super) struct AddedStep {
    /// The step, with all values that its parent gave it.
    pub step: Step,
    /// Its job name.
    pub job: String,
    /// The step that it belongs to.
    pub parent: usize,
    /// Whether it runs; an earlier result is looked up when its turn comes.
    pub decision: Decision,
    /// The number of attempts that an earlier runner made.
    pub attempts: u32,
    /// What its parent gave it, for the record.
    pub parameters: Vec<(String, serde_json::Value)>,
    /// Those of its outputs that its parent takes.
    pub taken: Vec<String>,
}

/// What an earlier runner left of a step that it added.
#[derive(Clone, Debug, Default)]
pub struct ResumedChild {
    /// Its outputs, if it completed and they are unchanged.
    pub done: Option<Vec<OutputInfo>>,
    /// The last values of its metrics.
    pub metrics: Vec<(String, f64)>,
    /// The number of attempts.
    pub attempts: u32,
    /// Whether it was ended early by its sweep. Then it does not run again.
    pub ended_early: bool,
    /// The parameters that it has.
    pub parameters: Vec<(String, serde_json::Value)>,
    /// The job whose result it got, if it was reused.
    pub reused_from: Option<String>,
}

/// The children of an earlier runner, by their paths.
pub type ResumedChildren = BTreeMap<String, ResumedChild>;

impl ResumedChild {
    /// Whether it does not run again.
    pub(super) fn is_over(&self) -> bool {
        self.done.is_some() || self.ended_early
    }
}

impl AddedSteps {
    pub(super) fn push(&self, step: AddedStep) {
        self.0.push(step);
    }

    pub(super) fn count(&self) -> usize {
        self.0.count()
    }

    pub(super) fn get(&self, number: usize) -> &AddedStep {
        &self.0[number]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &AddedStep> {
        self.0.iter().map(|(_, added)| added)
    }
}
