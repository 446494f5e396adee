//! The options of a run, as chosen on the command line.

use crate::environment::resolve::Policy;
use crate::plan::choice::Choice;
use crate::yaml::overrides::Override;

/// The options of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunOptions {
    /// Overrides of values in the file, applied before it is read.
    pub set: Vec<Override>,
    /// Which steps run.
    pub steps: StepSelection,
    /// The run's name. If `None`, the name in the file or a generated one.
    pub name: Option<String>,
    /// How many steps may run at once. If `None`, one for each core.
    pub jobs: Option<u16>,
    /// Seconds between TERM and KILL. If `None`, 10.
    pub grace: Option<u64>,
    /// How many data requests may run at once. If `None`, concurrency adapts to the measured throughput.
    pub transfer_jobs: Option<u16>,
    /// How environments are provided. If `None`, as `amlrun.toml` says.
    pub environment: Option<Policy>,
    /// The run whose environments are built again with the same versions.
    pub locked: Option<String>,
}

/// Which steps of a plan run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepSelection {
    /// Only these steps.
    pub only: Vec<String>,
    /// These steps and everything that depends on them.
    pub from: Vec<String>,
    /// These steps and everything that they depend on.
    pub until: Vec<String>,
    /// Steps that run even if there are earlier results. An empty list means all steps.
    pub force_rerun: Option<Vec<String>>,
}

impl StepSelection {
    /// The selection in the form that planning takes.
    pub(crate) fn steps(&self) -> Choice {
        Choice { only: self.only.clone(), from: self.from.clone(), until: self.until.clone() }
    }
}
