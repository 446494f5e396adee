//! Stores the results of completed steps for later runs. Digests are computed on a separate thread, so that no step
//! waits for them.
//!
//! Results are handled in the order in which the steps ended. A step that reads an output ends after the step that
//! writes it, so the digests that its key needs are known by then.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::key;
use crate::digest::Digest;
use crate::engine::state::{CompletedStep, RunState, warn};
use crate::event::{EventKind, OutputInfo};
use crate::plan::PortType;
use crate::reuse::{Entry, Fingerprint, Kept, Listing, Manifest, read_tree};

/// The thread that stores results.
pub(in crate::engine) struct Recorder {
    completed_steps: Option<Sender<CompletedStep>>,
    thread: Option<JoinHandle<()>>,
}

/// How many results are stored in one transaction.
const BATCH: usize = 256;
/// How long a result waits for others.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

impl Recorder {
    /// Starts the thread.
    pub(crate) fn start(shared: Arc<RunState>) -> Self {
        let (completed_steps, receiver) = channel();
        *shared.pending_uploads.lock().unwrap_or_else(PoisonError::into_inner) = Some(completed_steps.clone());
        let thread = std::thread::Builder::new().name("digests".to_owned());
        let thread = thread.spawn(move || work(&receiver, &shared)).ok();
        Self { completed_steps: Some(completed_steps), thread }
    }

    /// Hands over the result of a step.
    pub(crate) fn record(&self, completed: CompletedStep) {
        if let Some(completed_steps) = &self.completed_steps {
            let _ = completed_steps.send(completed);
        }
    }

    /// Waits until everything is stored.
    pub(crate) fn finish(mut self) {
        self.completed_steps = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(completed_steps: &Receiver<CompletedStep>, shared: &RunState) {
    let mut found = Found::default();
    loop {
        // A transaction costs as much as a small step, so results are collected, but not for long.
        let next = if found.entries.is_empty() {
            completed_steps.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            completed_steps.recv_timeout(LONGEST_WAIT)
        };
        match next {
            Ok(completed) => {
                let entry = entry(completed, shared, &mut found.trees);
                found.entries.extend(entry);
            }
            Err(RecvTimeoutError::Timeout) => found.keep(shared),
            Err(RecvTimeoutError::Disconnected) => return found.keep(shared),
        }
        if found.entries.len() >= BATCH {
            found.keep(shared);
        }
    }
}

/// Results that are known and not stored yet.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    /// The files of outputs: with them, a later difference can be reported file by file.
    trees: Vec<(Digest, Manifest)>,
    /// Whether the machine changed since the run began: then it is unclear what the results depend on.
    machine_changed: bool,
}

impl Found {
    /// An error here costs a later run the reuse, but never costs this run its result.
    fn keep(&mut self, shared: &RunState) {
        if let Some(reuse) = shared.request.reuse.as_ref().filter(|_| !self.entries.is_empty())
            && self.is_same_machine(shared)
        {
            if let Some(host) = &shared.request.snapshot.host {
                let (machines, pythons) = host.described();
                let _ = reuse.remember_machines(&machines, &pythons);
            }
            let _ = reuse.remember_many(&self.trees);
            let _ = reuse.keep(&self.entries);
        }
        self.entries.clear();
        self.trees.clear();
    }

    /// Checked after all of these steps ended: what is unchanged now was unchanged while they ran.
    fn is_same_machine(&mut self, shared: &RunState) -> bool {
        let Some(host) = &shared.request.snapshot.host else { return true };
        if !self.machine_changed && !host.is_same() {
            self.machine_changed = true;
            let message = "a program or an installed package changed during the run: \
                           results since then are not stored for reuse";
            shared.services.bus.publish(EventKind::Warning { step: None, message: message.to_owned() });
        }
        !self.machine_changed
    }
}

fn entry(completed: CompletedStep, shared: &RunState, trees: &mut Vec<(Digest, Manifest)>) -> Option<Entry> {
    let RunState { request, services, output_table, scope, .. } = shared;
    let kept: Option<Vec<Kept>> = completed.outputs.iter().map(|output| kept(output, trees)).collect();
    output_table.digested(completed.index, kept.clone());
    let reuse = request.reuse.as_ref()?;
    if !completed.key {
        return None;
    }
    let lost = |why: &str| {
        warn(services, request, completed.index, format!("{why}: the result is not stored for reuse"));
        None
    };
    let Some(outputs) = kept else { return lost("an output was changed after the step ended") };
    let step = request.step(completed.index);
    let known = |step: usize, name: &str| output_table.kept(step, name).map(|kept| kept.digest.clone());
    let key = match key::of(step, &request.snapshot, reuse, true, &known) {
        Some(known) => Some(known).filter(key::Known::is_complete)?.key,
        None if request.snapshot.host.is_some() && key::machine(step, &request.snapshot, reuse).is_none() => {
            return lost("the packages of its programs cannot be determined");
        }
        None => return lost("an input was changed or cannot be read again"),
    };
    Some(Entry {
        key,
        scope: scope.clone(),
        step: step.path.clone(),
        run: request.paths.real.name.to_string(),
        job: completed.job,
        outputs,
        duration_ms: u64::try_from(completed.finished.since(completed.started).as_millis()).unwrap_or(u64::MAX),
        finished: completed.finished,
        metrics: completed.metrics,
        offered: completed.offered,
    })
}

/// For outputs with more files, only the digest is stored: the list of files would be larger than most outputs.
const LISTED: u64 = 10_000;

/// An output with its digest; `None` if it was touched since it was sealed, or cannot be read.
fn kept(info: &OutputInfo, trees: &mut Vec<(Digest, Manifest)>) -> Option<Kept> {
    let listing = Listing::of(&info.path).ok()?;
    let fingerprint: Fingerprint = listing.fingerprint();
    if fingerprint.to_string() != info.fingerprint {
        return None;
    }
    let (digest, manifest) = read_tree(&listing).ok()?;
    if info.kind != PortType::UriFile.to_string() && info.files <= LISTED {
        trees.push((digest.clone(), manifest));
    }
    Some(Kept {
        name: info.name.clone(),
        kind: info.kind.clone(),
        path: info.path.clone(),
        fingerprint,
        digest,
        files: info.files,
        bytes: info.bytes,
    })
}
