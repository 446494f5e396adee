//! Names of runs and steps.
//!
//! A run is a job: its name has the form of Azure ML's own names (`brave_fox_1a2b3c`) and is unique in the workspace. A
//! step has a path in its pipeline (`train`, or `sub.train` inside a pipeline component), and a job name made from the
//! run's name and that path. This module must not know where runs and steps are stored.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The name of a run: the job name on Azure ML, the folder name under `.amlrun/runs/`, the MLflow run id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunName(String);

/// Why a name is not a valid run name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name:?} is not a valid name for a job: {reason}")]
pub struct BadName {
    name: String,
    reason: &'static str,
}

impl RunName {
    /// Validates a name. Azure ML allows letters, digits, `_` and `-`, at most 255 of them. The name is also the name
    /// of a folder, so nothing else is allowed here either.
    ///
    /// # Errors
    /// [`BadName`], which describes the problem.
    pub fn parse(name: &str) -> Result<Self, BadName> {
        let bad = |reason| Err(BadName { name: name.to_owned(), reason });
        if name.is_empty() || name.len() > 255 {
            return bad("it must have between 1 and 255 characters");
        }
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return bad("it must start with a letter or a digit");
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return bad("only letters, digits, '-' and '_' are allowed");
        }
        Ok(Self(name.to_owned()))
    }

    /// A generated name in Azure ML's style, from the clock and the process id: two runs that start in the same
    /// nanosecond on one machine have different process ids.
    #[must_use]
    pub fn generate() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = format!("{}-{}", since.as_nanos(), std::process::id());
        Self::from_seed(seed.as_bytes())
    }

    fn from_seed(seed: &[u8]) -> Self {
        let hash = blake3::hash(seed);
        let bytes = hash.as_bytes();
        let word = |words: &[&'static str], at: usize| words[usize::from(bytes[at]) % words.len()];
        let tail: String =
            bytes[2..12].iter().map(|b| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[usize::from(b % 32)])).collect();
        Self(format!("{}_{}_{tail}", word(ADJECTIVES, 0), word(NOUNS, 1)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The job name of a step of this run: `brave_fox_1a2b3c-train`. Dots in a nested path become dashes, so that the
    /// name is also a valid MLflow run id.
    #[must_use]
    pub fn step_job(&self, step: &str) -> String {
        format!("{}-{}", self.0, step.replace('.', "-"))
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ADJECTIVES: &[&str] = &[
    "amiable", "bold", "brave", "bright", "calm", "clever", "cool", "crisp", "dapper", "eager", "epic", "fair",
    "fleet", "frank", "gentle", "glad", "good", "great", "happy", "honest", "icy", "jolly", "keen", "kind", "loyal",
    "lucid", "mellow", "merry", "neat", "nimble", "noble", "patient", "placid", "plucky", "polite", "proud", "quick",
    "quiet", "ready", "rosy", "serene", "sharp", "sleek", "smart", "solid", "steady", "sunny", "sweet", "tidy", "wise",
];

const NOUNS: &[&str] = &[
    "apple", "arch", "atom", "badge", "bamboo", "basin", "beach", "berry", "bird", "boat", "brook", "cactus", "camel",
    "canal", "candle", "cedar", "cloud", "clover", "comet", "coral", "crane", "dawn", "delta", "drum", "eagle",
    "ember", "falcon", "feast", "fern", "fig", "forest", "fox", "garden", "ginger", "glacier", "grape", "harbor",
    "hazel", "heron", "island", "ivory", "jackal", "kettle", "lake", "lemon", "lobster", "maple", "meadow", "moon",
    "oak", "olive", "orange", "owl", "parrot", "peach", "pear", "pepper", "pine", "plum", "pond", "river", "rocket",
    "sail", "spruce", "star", "sugar", "tiger", "tulip", "valley", "violin", "walnut", "wave", "willow", "yak",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_legal_and_differ() {
        let (a, b) = (RunName::from_seed(b"a"), RunName::from_seed(b"b"));
        assert_ne!(a, b);
        assert_eq!(RunName::parse(a.as_str()).as_ref(), Ok(&a));
    }

    #[test]
    fn names_that_could_leave_the_runs_folder_are_refused() {
        for bad in ["", "..", "../x", "a/b", ".hidden", "-flag", "a b", "ä"] {
            assert!(RunName::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_nested_step_has_a_legal_job_name() {
        assert_eq!(RunName::parse("r_1").unwrap().step_job("sub.train"), "r_1-sub-train");
    }
}
