//! The cache lookup for one step: finds an earlier result with the same key and checks that its outputs are
//! unchanged. Without such a result, it explains the difference to the last run of the step.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

use super::decision::{CacheDecision, CachedResult, Decision, Force};
use super::inputs::InputSnapshot;
use super::key::{self, Known};
use crate::digest::Digest;
use crate::event::OutputInfo;
use crate::plan::{Plan, Step};
use crate::reason::Reason;
use crate::reuse::{self, Entry, Fingerprint, Kept, Key, Machine, Manifest, Python, Reuse, differences};

/// Everything that a decision depends on.
pub(in crate::engine) struct CacheLookup<'a> {
    pub plan: &'a Plan,
    pub snapshot: &'a InputSnapshot,
    pub reuse: &'a Reuse,
    pub force: &'a Force,
    /// The job file, which identifies steps from run to run.
    pub scope: &'a str,
    /// The steps that the user chose; all steps if it is empty.
    wanted: &'a [bool],
    manifests: RefCell<HashMap<Digest, Option<Manifest>>>,
    machines: RefCell<HashMap<Digest, Option<Machine>>>,
    pythons: RefCell<HashMap<Digest, Option<Python>>>,
}

impl<'a> CacheLookup<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        snapshot: &'a InputSnapshot,
        reuse: &'a Reuse,
        force: &'a Force,
        scope: &'a str,
    ) -> Self {
        Self {
            plan,
            snapshot,
            reuse,
            force,
            scope,
            wanted: &[],
            manifests: RefCell::default(),
            machines: RefCell::default(),
            pythons: RefCell::default(),
        }
    }

    /// The same for a run in which only some steps were chosen.
    pub(crate) fn for_those(self, wanted: &'a [bool]) -> Self {
        Self { wanted, ..self }
    }

    fn is_wanted(&self, index: usize) -> bool {
        self.wanted.get(index).copied().unwrap_or(true)
    }

    /// Why a step runs even if an earlier result exists. This does not apply to steps that are only needed by others.
    fn forced(&self, index: usize) -> Option<Reason> {
        if self.is_wanted(index) { forced(&self.plan.steps[index], index, self.plan, self.force) } else { None }
    }

    /// Decides steps that depend on nothing undecided, with one lookup.
    pub(crate) fn level(&self, steps: &[usize], decided: &[Option<Decision>]) -> Vec<(usize, Decision)> {
        let output = |step: usize, name: &str| match decided[step].as_ref().map(|d| &d.cache) {
            Some(CacheDecision::Hit(cached)) => {
                cached.outputs.iter().find(|k| k.name == name).map(|k| k.digest.clone())
            }
            _ => None,
        };
        let mut answers = Vec::with_capacity(steps.len());
        let mut asked: Vec<(usize, Key, Digest)> = Vec::new();
        for &index in steps {
            if let Some(because) = self.forced(index) {
                // Its result is stored under the machine as it is now.
                let _ = key::machine(&self.plan.steps[index], self.snapshot, self.reuse);
                answers.push((index, Decision::new(CacheDecision::Miss, vec![because])));
                continue;
            }
            match self.key(&self.plan.steps[index], &output) {
                KeyState::Complete(key) => {
                    let hash = key.hash();
                    asked.push((index, key, hash));
                }
                KeyState::Pending(steps) => {
                    let name = |step: &usize| format!("'{}'", self.plan.steps[*step].path);
                    let names = steps.iter().map(name).collect::<Vec<_>>().join(", ");
                    let verb = if steps.len() == 1 { "runs" } else { "run" };
                    let sentence = match steps.len() {
                        0 => "its remote data is downloaded first and may be unchanged".to_owned(),
                        _ => format!("{names} {verb} first and may write different data"),
                    };
                    answers.push((index, Decision::new(CacheDecision::Pending, vec![Reason::sentence(sentence)])));
                }
                KeyState::Unbuilt(sentence) => {
                    answers.push((index, Decision::new(CacheDecision::Pending, vec![Reason::sentence(sentence)])));
                }
                KeyState::Miss(because) => answers.push((index, Decision::new(CacheDecision::Miss, because))),
            }
        }
        let hashes: Vec<Digest> = asked.iter().map(|(_, _, hash)| hash.clone()).collect();
        // Two steps with the same key share their entry.
        let known = self.reuse.find_many(&hashes).unwrap_or_default();
        let kept: Vec<&Kept> = hashes.iter().filter_map(|h| known.get(h)).flat_map(|e| &e.outputs).collect();
        let mut states = reuse::verify_many(&kept).into_iter();
        let mut refreshed = Vec::new();
        for (index, key, hash) in &asked {
            let decision = match known.get(hash) {
                Some(entry) => {
                    let states: Vec<_> = states.by_ref().take(entry.outputs.len()).collect();
                    check_outputs(entry, &states, &mut refreshed)
                }
                None if !self.is_wanted(*index) => self.last_of(*index, key, &mut refreshed),
                None => Decision::new(CacheDecision::Miss, self.explain(&self.plan.steps[*index], key, &[])),
            };
            answers.push((*index, decision));
        }
        if !refreshed.is_empty() {
            // If it cannot be stored, only the next lookup is slower.
            let _ = self.reuse.refreshed(&refreshed);
        }
        answers
    }

    /// The cache key of a step, as far as it is needed.
    pub(crate) fn key(&self, step: &Step, output: &dyn Fn(usize, &str) -> Option<Digest>) -> KeyState {
        let unreadable = || {
            KeyState::Miss(vec![Reason::sentence(
                "its inputs or its code cannot be read, or change while they are read",
            )])
        };
        if let Some(sentence) = self.unbuilt(step) {
            return match self.reuse.last(self.scope, &step.path) {
                Ok(Some(_)) => KeyState::Unbuilt(sentence),
                _ => KeyState::Miss(vec![Reason::sentence(sentence)]),
            };
        }
        let Some(known) = key::of(step, self.snapshot, self.reuse, false, output) else { return unreadable() };
        if known.is_complete() {
            return KeyState::Complete(known.key);
        }
        // Reading and waiting are worth it only if they may save the step.
        if !self.reuse.has_shape(&known.key.shape()).unwrap_or(false) {
            return KeyState::Miss(self.explain(step, &known.key, &known.unknown));
        }
        let read = key::of(step, self.snapshot, self.reuse, true, output);
        match read {
            Some(Known { key, steps, unfetched: false, .. }) if steps.is_empty() => KeyState::Complete(key),
            Some(Known { steps, .. }) => KeyState::Pending(steps),
            None => unreadable(),
        }
    }

    /// Why what is installed in the environment of a step is not known yet.
    pub(crate) fn unbuilt(&self, step: &Step) -> Option<String> {
        let environment = step.command().filter(|_| step.substitute.is_none())?.environment.as_ref();
        self.snapshot.host.as_ref()?.unbuilt(environment)
    }

    /// For a step that was not chosen but is needed: its last result is sufficient, even if it would not be reused
    /// for the step itself.
    fn last_of(&self, index: usize, key: &Key, refreshed: &mut Vec<(PathBuf, Fingerprint)>) -> Decision {
        match self.reuse.last(self.scope, &self.plan.steps[index].path) {
            Ok(Some(last)) if last.key == *key => {
                let states: Vec<_> = last.outputs.iter().map(reuse::verify).collect();
                check_outputs(&last, &states, refreshed)
            }
            _ => Decision::run("it has no earlier result"),
        }
    }

    /// Looks up an earlier result for a complete key.
    pub(crate) fn ask(&self, step: &Step, key: &Key) -> Decision {
        match self.reuse.find(&key.hash()) {
            Ok(Some(entry)) => {
                let states: Vec<_> = entry.outputs.iter().map(reuse::verify).collect();
                let mut refreshed = Vec::new();
                let decision = check_outputs(&entry, &states, &mut refreshed);
                if !refreshed.is_empty() {
                    let _ = self.reuse.refreshed(&refreshed);
                }
                decision
            }
            _ => Decision::new(CacheDecision::Miss, self.explain(step, key, &[])),
        }
    }

    /// Why no earlier result can be reused: the difference to the last run of the step.
    fn explain(&self, step: &Step, key: &Key, unknown: &[String]) -> Vec<Reason> {
        let Ok(Some(last)) = self.reuse.last(self.scope, &step.path) else {
            return vec![Reason::sentence("it has no earlier result")];
        };
        let (mut before, mut after) = (last.key, key.clone());
        for name in unknown {
            // The file name of an input that has not been fetched is not known yet.
            let file = format!("file name of {name}");
            if !after.settings.contains_key(&file) {
                before.settings.remove(&file);
            }
            for key in [&mut before, &mut after] {
                key.inputs.remove(name);
                key.variables.remove(name);
            }
        }
        let mut differences = differences(&before, &after, self);
        if differences.is_empty() {
            differences.push(Reason::sentence(if unknown.is_empty() {
                "its last result may not be reused"
            } else {
                "its inputs are new"
            }));
        }
        differences
    }
}

impl reuse::Known for CacheLookup<'_> {
    fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        let mut known = self.manifests.borrow_mut();
        known.entry(digest.clone()).or_insert_with(|| self.reuse.manifest(digest).ok().flatten()).clone()
    }

    fn machine(&self, digest: &Digest) -> Option<Machine> {
        let now = || self.snapshot.host.as_ref()?.described().0.into_iter().find(|machine| machine.digest() == *digest);
        let known = || now().or_else(|| self.reuse.machine(digest).ok().flatten());
        self.machines.borrow_mut().entry(digest.clone()).or_insert_with(known).clone()
    }

    fn python(&self, digest: &Digest) -> Option<Python> {
        let now = || self.snapshot.host.as_ref()?.described().1.into_iter().find(|python| python.digest() == *digest);
        let known = || now().or_else(|| self.reuse.python(digest).ok().flatten());
        self.pythons.borrow_mut().entry(digest.clone()).or_insert_with(known).clone()
    }
}

/// Why a step runs even if an earlier result exists. `chosen` is its number, or that of the step that added it.
pub(in crate::engine) fn forced(step: &Step, chosen: usize, plan: &Plan, force: &Force) -> Option<Reason> {
    let sentence = if force.all || force.steps.contains(&chosen) {
        "--force-rerun asks for it"
    } else if plan.force_rerun {
        "settings.force_rerun is true"
    } else if !step.is_deterministic {
        "its component is not deterministic (is_deterministic: false)"
    } else {
        return None;
    };
    Some(Reason::sentence(sentence))
}

/// A cache key, or why none is needed.
pub(in crate::engine) enum KeyState {
    /// The whole key is known.
    Complete(Key),
    /// The digests of these steps' outputs are missing, and an earlier result may match.
    Pending(Vec<usize>),
    /// The environment is not there, as the sentence says, and an earlier result may match.
    Unbuilt(String),
    /// No earlier result can match.
    Miss(Vec<Reason>),
}

/// Whether the outputs of an earlier result are unchanged.
fn check_outputs(
    entry: &Entry,
    states: &[reuse::OutputState],
    refreshed: &mut Vec<(PathBuf, Fingerprint)>,
) -> Decision {
    let mut outputs = entry.outputs.clone();
    let mut because = Vec::new();
    let mut usable = true;
    for (kept, state) in outputs.iter_mut().zip(states) {
        let mut say = |what: &str| because.push(Reason::sentence(format!("its output {} {what}", kept.name)));
        match state {
            reuse::OutputState::Same => {}
            reuse::OutputState::SameBytes(fingerprint) => {
                refreshed.push((kept.path.clone(), fingerprint.clone()));
                kept.fingerprint = fingerprint.clone();
            }
            reuse::OutputState::Edited => {
                say("was changed after it was written");
                usable = false;
            }
            reuse::OutputState::Missing => {
                say("is gone");
                usable = false;
            }
        }
    }
    if !usable {
        return Decision::new(CacheDecision::Miss, because);
    }
    let (run, job, metrics) = (entry.run.clone(), entry.job.clone(), entry.metrics.clone());
    Decision::new(CacheDecision::Hit(Box::new(CachedResult { run, job, outputs, metrics })), because)
}

/// An output of an earlier result in the form of the record.
pub(in crate::engine) fn info(kept: &Kept) -> OutputInfo {
    OutputInfo {
        name: kept.name.clone(),
        kind: kept.kind.clone(),
        path: kept.path.clone(),
        files: kept.files,
        bytes: kept.bytes,
        fingerprint: kept.fingerprint.to_string(),
    }
}
