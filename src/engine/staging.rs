//! Stage-in and stage-out: fetches remote data before a step begins, and uploads reused outputs to their remote
//! destinations. The [`Workspace`](super::Workspace) transfers the bytes; this module decides when, and reports it.

use std::sync::Arc;

use super::collect;
use super::state::{Finished, RunState, blocking};
use crate::event::{EventKind, OutputInfo};
use crate::exec::{Stop, StopWatch};
use crate::outcome::{Failure, SkipReason, StepOutcome};
use crate::plan::{DatastorePath, Remote};

/// Fetches the remote data of a step that may run. Returns a value if the step is over.
pub(super) async fn fetch(index: usize, shared: &Arc<RunState>, stop: &StopWatch) -> Option<Finished> {
    let RunState { request, .. } = &**shared;
    if !request.decision(index).may_run() || request.step(index).remotes().next().is_none() {
        return None;
    }
    let (shared, watch) = (shared.clone(), stop.clone());
    let fetched = blocking(move || {
        let RunState { request, services, .. } = &*shared;
        let step = request.step(index);
        // An earlier step may have changed a copy that both read.
        let mut wanted: Vec<&Remote> = Vec::new();
        for remote in step.remotes().filter(|remote| !request.snapshot.has_intact(remote)) {
            if wanted.iter().all(|other| other.is_other(remote)) {
                wanted.push(remote);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        for (remote, (path, moved)) in wanted.iter().zip(services.workspace.fetch(&wanted, &step.path, &watch)?) {
            request.snapshot.fetched(remote, path);
            services.bus.publish(EventKind::DataFetched { step: step.path.clone(), uri: remote.uri.clone(), moved });
        }
        Ok(())
    });
    fetched.await.err().map(|failure| ended_early(failure, stop))
}

/// Uploads the reused outputs of a step to their remote destinations.
pub(super) async fn upload(
    index: usize,
    outputs: Vec<OutputInfo>,
    shared: &Arc<RunState>,
    stop: &StopWatch,
) -> Result<(), Finished> {
    let (shared, watch) = (shared.clone(), stop.clone());
    let put = blocking(move || {
        let RunState { request, services, .. } = &*shared;
        let step = request.step(index);
        for output in step.outputs.iter().filter(|output| output.place.as_ref().is_some_and(DatastorePath::is_remote)) {
            if let Some(made) = outputs.iter().find(|made| made.name == output.name) {
                collect::upload(index, output, made, request, services, &watch)?;
            }
        }
        Ok(())
    });
    put.await.map_err(|failure| ended_early(failure, stop))
}

/// The end of a step that never began, because of an error or a request to stop.
pub(super) fn ended_early(failure: Failure, stop: &StopWatch) -> Finished {
    match *stop.borrow() {
        Stop::None => Finished::failed(failure),
        _ => Finished::new(StepOutcome::Skipped { reason: SkipReason::RunCanceled }),
    }
}

/// Whether an output of a step has a remote destination.
pub(super) fn places_remotely(step: &crate::plan::Step) -> bool {
    step.outputs.iter().any(|output| output.place.as_ref().is_some_and(DatastorePath::is_remote))
}
