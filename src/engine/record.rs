//! What steps wrote, made known to later runs, off the road: digests are found out on a thread of their own.
//!
//! One after the other, in the order in which the steps ended: whoever read an output ended after its writer, so the
//! digests that a step's key needs are there when its turn comes.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::key;
use super::step::{self, Shared};
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::event::{OutputInfo, What};
use crate::plan::PortType;
use crate::reuse::{Entry, Fingerprint, Kept, Listing, Manifest, read_tree};

/// What a step that completed leaves to be found out.
pub(super) struct Finding {
    pub index: usize,
    pub outputs: Vec<OutputInfo>,
    pub job: String,
    pub metrics: Vec<(String, f64)>,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// Whether it may stand for the step in later runs.
    pub offered: bool,
    /// Whether its key is worth knowing: not when what it read changed meanwhile.
    pub key: bool,
}

impl Finding {
    /// Outputs whose digests others may need, but which stand for nothing.
    pub fn outputs_only(index: usize, outputs: Vec<OutputInfo>) -> Self {
        let now = Timestamp(0);
        let (job, metrics) = (String::new(), Vec::new());
        Self { index, outputs, job, metrics, started: now, finished: now, offered: false, key: false }
    }
}

/// The thread.
pub(super) struct Recorder {
    findings: Option<Sender<Finding>>,
    thread: Option<JoinHandle<()>>,
}

/// So many results are kept in one transaction.
const BATCH: usize = 256;
/// So long a result waits for others.
const PATIENCE: Duration = Duration::from_millis(100);

impl Recorder {
    /// Starts the thread.
    pub fn start<E: Send + Sync + 'static, W: Send + Sync + 'static>(shared: Arc<Shared<E, W>>) -> Self {
        let (findings, receiver) = channel();
        *shared.early.lock().unwrap_or_else(PoisonError::into_inner) = Some(findings.clone());
        let thread = std::thread::Builder::new().name("digests".to_owned());
        let thread = thread.spawn(move || work(&receiver, &shared)).ok();
        Self { findings: Some(findings), thread }
    }

    /// Hands over what a step left.
    pub fn find_out(&self, finding: Finding) {
        if let Some(findings) = &self.findings {
            let _ = findings.send(finding);
        }
    }

    /// Waits until everything is kept.
    pub fn finish(mut self) {
        self.findings = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work<E, W>(findings: &Receiver<Finding>, shared: &Shared<E, W>) {
    let mut found = Found::default();
    loop {
        // A transaction costs as much as a small step: results wait for each other, but not for long.
        let next = if found.entries.is_empty() {
            findings.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            findings.recv_timeout(PATIENCE)
        };
        match next {
            Ok(finding) => {
                let entry = entry(finding, shared, &mut found.trees);
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

/// What was found out and is still to be kept.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    /// The files of outputs, by which a later difference is told file by file.
    trees: Vec<(Digest, Manifest)>,
    /// Whether the machine is another one than when the run began: then nobody knows what results rest on.
    machine_changed: bool,
}

impl Found {
    /// Trouble here costs a later run its reuse, never this one its result.
    fn keep<E, W>(&mut self, shared: &Shared<E, W>) {
        if let Some(reuse) = shared.request.reuse.as_ref().filter(|_| !self.entries.is_empty())
            && self.is_same_machine(shared)
        {
            if let Some(host) = &shared.request.facts.host {
                let (machines, pythons) = host.described();
                let _ = reuse.remember_machines(&machines, &pythons);
            }
            let _ = reuse.remember_many(&self.trees);
            let _ = reuse.keep(&self.entries);
        }
        self.entries.clear();
        self.trees.clear();
    }

    /// Looked at after all of these steps ended: what is the same now was the same while they ran.
    fn is_same_machine<E, W>(&mut self, shared: &Shared<E, W>) -> bool {
        let Some(host) = &shared.request.facts.host else { return true };
        if !self.machine_changed && !host.is_same() {
            self.machine_changed = true;
            let message = "a program or an installed package changed while the run went on: \
                           results since then are not kept for reuse";
            shared.around.bus.say(What::Warning { step: None, message: message.to_owned() });
        }
        !self.machine_changed
    }
}

fn entry<E, W>(finding: Finding, shared: &Shared<E, W>, trees: &mut Vec<(Digest, Manifest)>) -> Option<Entry> {
    let Shared { request, around, board, scope, .. } = shared;
    let kept: Option<Vec<Kept>> = finding.outputs.iter().map(|output| kept(output, trees)).collect();
    board.digested(finding.index, kept.clone());
    let reuse = request.reuse.as_ref()?;
    if !finding.key {
        return None;
    }
    let lost = |why: &str| {
        step::warn(around, request, finding.index, format!("{why}: the result is not kept for reuse"));
        None
    };
    let Some(outputs) = kept else { return lost("an output was changed after the step ended") };
    let step = &request.plan.steps[finding.index];
    let known = |step: usize, name: &str| board.kept(step, name).map(|kept| kept.digest.clone());
    let key = match key::of(step, &request.facts, reuse, true, &known) {
        Some(known) => Some(known).filter(key::Known::is_complete)?.key,
        None if request.facts.host.is_some() && key::machine(step, &request.facts, reuse).is_none() => {
            return lost("what its programs have installed cannot be found out");
        }
        None => return lost("what it was given was changed, or cannot be read again"),
    };
    Some(Entry {
        key,
        scope: scope.clone(),
        step: step.path.clone(),
        run: request.run.name.to_string(),
        job: finding.job,
        outputs,
        duration_ms: u64::try_from(finding.finished.since(finding.started).as_millis()).unwrap_or(u64::MAX),
        finished: finding.finished,
        metrics: finding.metrics,
        offered: finding.offered,
    })
}

/// Of larger outputs only the digest is kept: a list of all their files would be larger than most outputs.
const LISTED: u64 = 10_000;

/// An output with its digest; `None` when it was touched since it was sealed, or cannot be read.
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
