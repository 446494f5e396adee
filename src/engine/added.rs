//! The steps that are added while a run goes on: trials of a sweep and iterations of loops.
//!
//! A step of the plan whose body makes others is their parent. The dispatch loop adds them for it; they are numbered
//! after the steps of the plan, and everything that works with steps finds them by their numbers.

use std::collections::BTreeMap;

use super::{Decision, Request};
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
        self.plan.steps.len() + self.added.0.count()
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
    pub(super) fn parameters(&self, step: usize) -> &[(String, serde_json::Value)] {
        if step < self.plan.steps.len() { &[] } else { &self.added_step(step).parameters }
    }

    pub(super) fn decision(&self, step: usize) -> &Decision {
        self.decisions.get(step).unwrap_or_else(|| &self.added_step(step).decision)
    }

    /// Whether the parent of an added step takes an output of it.
    pub(super) fn is_taken(&self, step: usize, output: &str) -> bool {
        step >= self.plan.steps.len() && self.added_step(step).taken.iter().any(|taken| taken == output)
    }

    /// The number of a step's first attempt in this run, from 1.
    pub(super) fn first_attempt(&self, step: usize) -> u32 {
        if step >= self.plan.steps.len() {
            return 1 + self.added_step(step).attempts;
        }
        1 + self.resumed.as_ref().and_then(|r| r.attempts.get(&step)).copied().unwrap_or(0)
    }

    /// All steps with their numbers.
    pub(super) fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        let first = self.plan.steps.len();
        let added = self.added.0.iter().map(move |(number, added)| (first + number, &added.step));
        self.plan.steps.iter().enumerate().chain(added)
    }

    fn added_step(&self, index: usize) -> &AddedStep {
        &self.added.0[index - self.plan.steps.len()]
    }
}
