//! How a step runs others: the connection from a parent to the dispatch loop.
//!
//! A parent holds no slot. It asks the loop to add steps, waits for their ends, and may have them stopped. The loop owns
//! all state, so that there is one schedule and one pool of slots.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::child_request::{ChildEnd, ChildRequest, NewSteps};
use super::state::RunState;
use crate::exec::{Stop, StopWatch};
use crate::plan::Step;

/// The children of one step.
pub(super) struct Children {
    parent: usize,
    shared: Arc<RunState>,
    stop: StopWatch,
    /// How they were told to stop.
    told: Stop,
    ends: mpsc::UnboundedReceiver<ChildEnd>,
    ends_sender: mpsc::UnboundedSender<ChildEnd>,
    /// The numbers of those that are not over.
    open: Vec<usize>,
}

impl Children {
    /// No children yet.
    pub(super) fn of(parent: usize, shared: &Arc<RunState>, stop: StopWatch) -> Self {
        let (ends_sender, ends) = mpsc::unbounded_channel();
        Self { parent, shared: shared.clone(), stop, told: Stop::None, ends, ends_sender, open: Vec::new() }
    }

    /// Adds steps, and returns their numbers. `None` if the parent is to stop.
    pub(super) async fn add(
        &mut self,
        job: Option<String>,
        parameters: Vec<(String, serde_json::Value)>,
        taken: Vec<(usize, String)>,
        make: impl FnOnce(usize) -> Vec<Step> + Send + 'static,
    ) -> Option<Range<usize>> {
        if *self.stop.borrow() != Stop::None {
            return None;
        }
        let (added, answer) = oneshot::channel();
        let (parent, ends, make) = (self.parent, self.ends_sender.clone(), Box::new(make));
        let steps = NewSteps { parent, make, job, parameters, taken, ends, added };
        self.shared.children.send(ChildRequest::Add(steps)).ok()?;
        let steps = answer.await.ok()??;
        self.open.extend(steps.clone());
        Some(steps)
    }

    /// How many are not over.
    pub(super) fn open(&self) -> &[usize] {
        &self.open
    }

    /// Has one stopped, for a reason that is no failure.
    pub(super) fn stop(&self, step: usize, why: String) {
        let _ = self.shared.children.send(ChildRequest::Stop { step, how: Stop::Graceful, why: Some(why) });
    }

    /// The next end. `None` if there are no open steps. When the parent is asked to stop, its children are too.
    pub(super) async fn next(&mut self) -> Option<ChildEnd> {
        while !self.open.is_empty() {
            let (stop, told) = (&mut self.stop, self.told);
            // The value that is awaited holds the channel's lock, so it is copied.
            let asked = async move { stop.wait_for(|stop| *stop > told).await.map(|stop| *stop) };
            tokio::select! {
                biased;
                Ok(how) = asked => {
                    self.told = how;
                    for &step in &self.open {
                        let _ = self.shared.children.send(ChildRequest::Stop { step, how, why: None });
                    }
                }
                end = self.ends.recv() => {
                    let end = end?;
                    self.open.retain(|&step| step != end.step);
                    return Some(end);
                }
            }
        }
        None
    }
}
