//! Runs a step that copies its inputs into its output, without a process (reference, section 2.11).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::state::{Finished, RunState, blocking};
use super::{Request, is_made_by, prepare};
use crate::event::EventKind;
use crate::exec::{Stop, StopWatch};
use crate::outcome::{Failure, SkipReason, StepOutcome};
use crate::plan::CopyMode;
use crate::reuse::Listing;
use crate::store::tree;

/// Copies the inputs of a step. `Err` is the end of a step that did not get so far.
pub(super) async fn run(
    index: usize,
    attempt: u32,
    mode: CopyMode,
    shared: &Arc<RunState>,
    stop: &mut StopWatch,
) -> Result<(), Finished> {
    let place = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop != Stop::None) => None,
        place = shared.slots.acquire() => place.ok(),
    };
    let Some(_place) = place else {
        return Err(Finished::new(StepOutcome::Skipped { reason: SkipReason::RunCanceled }));
    };
    shared.services.bus.publish(EventKind::ParentStarted { step: shared.request.step(index).path.clone() });
    let (shared, watch) = (shared.clone(), stop.clone());
    let copied = blocking(move || copy(index, attempt, mode, &shared, &watch)).await;
    match copied {
        Ok(()) if *stop.borrow() == Stop::None => Ok(()),
        Ok(()) => Err(Finished::new(StepOutcome::Canceled)),
        Err(failure) => Err(Finished::failed(failure)),
    }
}

/// A file that is to be copied.
struct Source {
    path: PathBuf,
    input: String,
}

fn copy(index: usize, attempt: u32, mode: CopyMode, shared: &RunState, stop: &StopWatch) -> Result<(), Failure> {
    let request = &shared.request;
    let step = request.step(index);
    let [output] = step.outputs.as_slice() else { return Err(Failure::other("a copy has exactly one output")) };
    let inputs = inputs(index, shared).map_err(Failure::other)?;
    let place = request.output(index, &output.name, attempt);
    if is_made_by(step, output.kind) {
        return match inputs.as_slice() {
            [(_, file)] if file.is_file() => put(file, &place),
            _ => Err(Failure::other(format!(
                "its output '{}' is a uri_file, so it needs exactly one input that is a file",
                output.name
            ))),
        };
    }
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for (input, from) in &inputs {
        for (name, path) in files(from).map_err(Failure::other)? {
            let source = Source { path, input: input.clone() };
            let Some(earlier) = sources.insert(name.clone(), source) else { continue };
            if mode == CopyMode::FailIfConflict {
                return Err(Failure::other(format!(
                    "the inputs '{}' and '{input}' both have the file '{name}' (data_copy_mode: fail_if_conflict)",
                    earlier.input
                )));
            }
        }
    }
    std::fs::create_dir_all(&place).map_err(|error| Failure::other(format!("{}: {error}", place.display())))?;
    let all = sources.len();
    for (number, (name, source)) in sources.into_iter().enumerate() {
        if *stop.borrow() != Stop::None {
            return Ok(());
        }
        if number % 100 == 0 {
            shared.services.bus.progress(&step.path, &format!("{number} of {all} files"));
        }
        put(&source.path, &place.join(name))?;
    }
    Ok(())
}

/// The inputs with their places, in the order of their declaration.
fn inputs(index: usize, shared: &RunState) -> Result<Vec<(String, PathBuf)>, String> {
    let request: &Request = &shared.request;
    let mut all = Vec::new();
    for input in &request.step(index).inputs {
        let Some([part]) = input.value.as_ref().map(|value| value.parts.as_slice()) else { continue };
        all.push((input.name.clone(), prepare::address(part, request, &shared.output_table)?));
    }
    Ok(all)
}

/// The files of an input by their paths in it.
fn files(from: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let listing = Listing::of(from).map_err(|error| error.to_string())?;
    if listing.is_file {
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![(name, from.to_owned())]);
    }
    let file = |file| (listing.place(file).into_owned(), file);
    Ok(listing.files.iter().map(file).map(|(place, file)| (file.path.clone(), place)).collect())
}

/// A copy, because a hard link would share the author's file.
fn put(from: &Path, to: &Path) -> Result<(), Failure> {
    tree::copy_tree(from, to).map_err(|error| Failure::other(error.to_string()))
}
