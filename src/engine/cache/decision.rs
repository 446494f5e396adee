//! What was decided for a step, and why.

use std::collections::HashSet;

use crate::reason::Reason;
use crate::reuse::Kept;

/// Whether a step runs.
#[derive(Clone, Debug)]
pub enum CacheDecision {
    /// Cache hit: an earlier result is used.
    Hit(Box<CachedResult>),
    /// Cache miss: it runs.
    Miss,
    /// It reads what other steps are still to write: it runs unless they write the same as before.
    Pending,
    /// It is left out: the project says so, or nobody asked for it.
    Skipped,
}

/// An earlier result.
#[derive(Clone, Debug)]
pub struct CachedResult {
    /// The run that made it.
    pub run: String,
    /// The step's job name in it.
    pub job: String,
    /// Its outputs.
    pub outputs: Vec<Kept>,
    /// What it logged.
    pub metrics: Vec<(String, f64)>,
}

/// What was decided for a step, and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What becomes of the step.
    pub cache: CacheDecision,
    /// Why it runs, or what is to be said of what stands for it.
    pub because: Vec<Reason>,
}

impl Decision {
    pub(in crate::engine) fn new(cache: CacheDecision, because: Vec<Reason>) -> Self {
        Self { cache, because }
    }

    /// The outputs of an earlier run stand for it, because somebody says so.
    pub(in crate::engine) fn given(cached: CachedResult) -> Self {
        Self::new(CacheDecision::Hit(Box::new(cached)), Vec::new())
    }

    /// It runs, for the reason that the sentence tells.
    pub(in crate::engine) fn run(sentence: &str) -> Self {
        Self::new(CacheDecision::Miss, vec![Reason::sentence(sentence)])
    }

    /// Whether the step runs for sure or perhaps.
    #[must_use]
    pub fn may_run(&self) -> bool {
        matches!(self.cache, CacheDecision::Miss | CacheDecision::Pending)
    }
}

/// What runs whatever was made before.
#[derive(Clone, Debug, Default)]
pub struct Force {
    /// All steps.
    pub all: bool,
    /// These, by index.
    pub steps: HashSet<usize>,
}
