//! The decision for a step, and the reasons.

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
    /// The step reads outputs that other steps still have to write: it runs unless they write the same as before.
    Pending,
    /// The step is skipped: the project says so, or it was not chosen.
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
    /// The metrics that it logged.
    pub metrics: Vec<(String, f64)>,
}

/// The decision for a step, and the reasons.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What happens to the step.
    pub cache: CacheDecision,
    /// Why the step runs, or remarks on the result that is reused.
    pub because: Vec<Reason>,
}

impl Decision {
    pub(in crate::engine) fn new(cache: CacheDecision, because: Vec<Reason>) -> Self {
        Self { cache, because }
    }

    /// The outputs of an earlier run are used, because the user asked for it.
    pub(in crate::engine) fn given(cached: CachedResult) -> Self {
        Self::new(CacheDecision::Hit(Box::new(cached)), Vec::new())
    }

    /// The step runs, for this reason.
    pub(in crate::engine) fn miss(because: Reason) -> Self {
        Self::new(CacheDecision::Miss, vec![because])
    }

    /// An earlier result is looked up when the step's turn comes.
    pub(in crate::engine) fn pending() -> Self {
        Self::new(CacheDecision::Pending, Vec::new())
    }

    /// The step runs, for the reason in `sentence`.
    pub(in crate::engine) fn run(sentence: &str) -> Self {
        Self::new(CacheDecision::Miss, vec![Reason::sentence(sentence)])
    }

    /// Whether the step runs, certainly or possibly.
    #[must_use]
    pub fn may_run(&self) -> bool {
        matches!(self.cache, CacheDecision::Miss | CacheDecision::Pending)
    }
}

/// The steps that run even if an earlier result exists.
#[derive(Clone, Debug, Default)]
pub struct Force {
    /// All steps.
    pub all: bool,
    /// These, by index.
    pub steps: HashSet<usize>,
}
