//! What is known of the steps' outputs while a run goes on: where they lie, and, a little later, what they hold.
//!
//! A consumer may start as soon as an output is sealed; its digest is found out off the road. Whoever needs it to decide
//! something waits here.

use std::sync::OnceLock;

use tokio::sync::watch;

use crate::event::OutputInfo;
use crate::reuse::Kept;

/// The outputs of all steps of a run.
pub(super) struct OutputTable {
    steps: Vec<Slot>,
    /// How many steps' digests are known.
    known: watch::Sender<usize>,
}

#[derive(Default)]
struct Slot {
    outputs: OnceLock<Vec<OutputInfo>>,
    kept: OnceLock<Option<Vec<Kept>>>,
}

impl OutputTable {
    /// An empty table for so many steps.
    pub fn new(steps: usize) -> Self {
        let steps = std::iter::repeat_with(Slot::default).take(steps).collect();
        Self { steps, known: watch::Sender::new(0) }
    }

    /// The outputs of a step are sealed.
    pub fn sealed(&self, step: usize, outputs: Vec<OutputInfo>) {
        let _ = self.steps[step].outputs.set(outputs);
    }

    /// The digests of a step's outputs are known; `None` when they never will be.
    pub fn digested(&self, step: usize, kept: Option<Vec<Kept>>) {
        let _ = self.steps[step].kept.set(kept);
        self.known.send_modify(|known| *known += 1);
    }

    /// All outputs of a step, when it completed.
    pub fn outputs(&self, step: usize) -> Option<&[OutputInfo]> {
        self.steps[step].outputs.get().map(Vec::as_slice)
    }

    /// An output of a step that completed and wrote it.
    pub fn output(&self, step: usize, name: &str) -> Option<&OutputInfo> {
        self.outputs(step)?.iter().find(|o| o.name == name)
    }

    /// An output with its digest, when that is known.
    pub fn kept(&self, step: usize, name: &str) -> Option<&Kept> {
        self.steps[step].kept.get()?.as_ref()?.iter().find(|k| k.name == name)
    }

    /// Waits until the digests of a completed step's outputs are known. False when they never will be.
    pub async fn wait(&self, step: usize) -> bool {
        let mut known = self.known.subscribe();
        let kept = || self.steps[step].kept.get();
        // An error means that nobody will tell any more.
        let _ = known.wait_for(|_| kept().is_some()).await;
        kept().is_some_and(Option::is_some)
    }
}
