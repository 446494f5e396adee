//! What is known of the steps' outputs during a run: their paths, and, a little later, their digests.
//!
//! A step that reads an output may start as soon as the output is sealed. Its digest is computed in the background. A
//! decision that needs the digest waits here.

use std::sync::OnceLock;

use tokio::sync::watch;

use crate::event::OutputInfo;
use crate::reuse::Kept;

/// The outputs of all steps of a run.
pub(super) struct OutputTable {
    steps: boxcar::Vec<Slot>,
    /// The number of steps whose digests are known.
    known: watch::Sender<usize>,
}

#[derive(Default)]
struct Slot {
    outputs: OnceLock<Vec<OutputInfo>>,
    kept: OnceLock<Option<Vec<Kept>>>,
}

impl OutputTable {
    /// An empty table for `steps` steps.
    pub(super) fn new(steps: usize) -> Self {
        let steps = std::iter::repeat_with(Slot::default).take(steps).collect();
        Self { steps, known: watch::Sender::new(0) }
    }

    /// Makes room for a step that is added.
    pub(super) fn add(&self) {
        self.steps.push(Slot::default());
    }

    /// Stores the sealed outputs of a step.
    pub(super) fn sealed(&self, step: usize, outputs: Vec<OutputInfo>) {
        let _ = self.steps[step].outputs.set(outputs);
    }

    /// Stores the digests of a step's outputs; `None` if they will never be known.
    pub(super) fn digested(&self, step: usize, kept: Option<Vec<Kept>>) {
        let _ = self.steps[step].kept.set(kept);
        self.known.send_modify(|known| *known += 1);
    }

    /// All outputs of a step, if it completed.
    pub(super) fn outputs(&self, step: usize) -> Option<&[OutputInfo]> {
        self.steps[step].outputs.get().map(Vec::as_slice)
    }

    /// An output of a step, if the step completed and wrote it.
    pub(super) fn output(&self, step: usize, name: &str) -> Option<&OutputInfo> {
        self.outputs(step)?.iter().find(|o| o.name == name)
    }

    /// An output with its digest, if that is known.
    pub(super) fn kept(&self, step: usize, name: &str) -> Option<&Kept> {
        self.steps[step].kept.get()?.as_ref()?.iter().find(|k| k.name == name)
    }

    /// Waits until the digests of a completed step's outputs are known. False if they will never be known.
    pub(super) async fn wait(&self, step: usize) -> bool {
        let mut known = self.known.subscribe();
        let kept = || self.steps[step].kept.get();
        // An error means that no more digests will come.
        let _ = known.wait_for(|_| kept().is_some()).await;
        kept().is_some_and(Option::is_some)
    }
}
