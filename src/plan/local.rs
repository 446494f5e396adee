//! The settings of a project for runs on this machine, beside the job file: the tables of `amlrun.toml` that change a
//! plan.
//!
//! ```toml
//! [steps.train]                 # a step by its path; "*" for all
//! timeout = 600                 # seconds; limits.timeout of the file wins when it is shorter
//! retries = 2                   # Azure ML has no retries for commands
//! slots = 2                     # takes two of the places that --jobs gives; without it, one for each of its processes
//!
//! [steps.features]              # a node that a laptop cannot run, or one that it need not
//! policy = "stub"               # or "replay", "skip"
//! outputs = { data = "samples/features" }
//!
//! [types.spark]                 # all nodes of a type
//! policy = "replay"
//! run = "brave_fox_1a2b3c4d5e"  # the newest run with that step when it is left out
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::Substitute;

/// The tables of `amlrun.toml` about steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    /// By step path; `*` is for every step.
    pub steps: BTreeMap<String, StepRules>,
    /// By node type.
    pub types: BTreeMap<String, StepRules>,
    /// The folder of the file: sample folders are relative to it.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// The rules for one step, or for all steps of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepRules {
    /// Seconds that it may run.
    pub timeout: Option<u64>,
    /// How often it is tried again after a failure.
    pub retries: Option<u32>,
    /// How many slots it takes.
    pub slots: Option<usize>,
    /// What is used instead of it.
    pub policy: Option<Policy>,
    /// Sample files and folders by output (`stub`).
    pub outputs: BTreeMap<String, PathBuf>,
    /// The run whose outputs it gets (`replay`).
    pub run: Option<String>,
}

/// What to do with a node that is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Its outputs are made from samples.
    Stub,
    /// Its outputs are those of an earlier run.
    Replay,
    /// It is skipped.
    Skip,
}

impl Local {
    /// The rules for a step: by its path first, then by its type, then for all.
    #[must_use]
    pub fn rules(&self, path: &str, kind: &str) -> StepRules {
        let mut rules = StepRules::default();
        for more in [self.steps.get("*"), self.types.get(kind), self.steps.get(path)].into_iter().flatten() {
            let StepRules { timeout, retries, slots, policy, outputs, run } = more.clone();
            rules.timeout = timeout.or(rules.timeout);
            rules.retries = retries.or(rules.retries);
            rules.slots = slots.or(rules.slots);
            if policy.is_some() {
                (rules.policy, rules.outputs, rules.run) = (policy, outputs, run);
            }
        }
        rules
    }

    /// The substitute that the rules ask for.
    ///
    /// # Errors
    /// A sentence, when an output has no sample or a sample is not there.
    pub fn substitute(&self, rules: &StepRules, outputs: &[&str]) -> Result<Option<Substitute>, String> {
        Ok(match rules.policy {
            None => None,
            Some(Policy::Skip) => Some(Substitute::Skip),
            Some(Policy::Replay) => Some(Substitute::Replay { run: rules.run.clone() }),
            Some(Policy::Stub) => {
                let mut samples = BTreeMap::new();
                for name in outputs {
                    let sample = rules.outputs.get(*name).ok_or_else(|| {
                        format!("amlrun.toml has no sample for its output '{name}': add outputs = {{ {name} = \"…\" }}")
                    })?;
                    let place = self.folder.join(sample);
                    if !place.exists() {
                        return Err(format!("the sample for its output '{name}' does not exist: {}", place.display()));
                    }
                    samples.insert((*name).to_owned(), place);
                }
                if let Some(unknown) = rules.outputs.keys().find(|name| !outputs.contains(&name.as_str())) {
                    return Err(format!("amlrun.toml has a sample for the output '{unknown}', which does not exist"));
                }
                Some(Substitute::Stub { outputs: samples })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_step_wins_over_its_type_and_over_all() {
        let all = StepRules { retries: Some(1), timeout: Some(9), ..StepRules::default() };
        let own = StepRules { retries: Some(3), ..StepRules::default() };
        let spark = StepRules { policy: Some(Policy::Skip), ..StepRules::default() };
        let local = Local {
            steps: BTreeMap::from([("*".into(), all), ("a".into(), own)]),
            types: BTreeMap::from([("spark".into(), spark)]),
            folder: PathBuf::new(),
        };
        let rules = local.rules("a", "spark");
        assert_eq!((rules.retries, rules.timeout, rules.policy), (Some(3), Some(9), Some(Policy::Skip)));
        assert_eq!(local.rules("b", "command").policy, None);
    }

    #[test]
    fn a_stub_needs_a_sample_for_every_output() {
        let rules = StepRules { policy: Some(Policy::Stub), ..StepRules::default() };
        let why = Local::default().substitute(&rules, &["data"]).unwrap_err();
        assert!(why.contains("no sample for its output 'data'"), "{why}");
    }
}
