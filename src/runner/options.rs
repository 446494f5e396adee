//! How a run is made: what the command line, or whoever else starts a run, can choose.

use crate::plan::choice::Choice;
use crate::yaml::overrides::Override;

/// The options of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunOptions {
    /// Values of the file that are changed before it is read.
    pub set: Vec<Override>,
    /// Which steps run.
    pub steps: StepSelection,
    /// The run's name; the file's own or a fresh one when absent.
    pub name: Option<String>,
    /// How many steps may run at once; one for each core when absent.
    pub jobs: Option<u16>,
    /// Seconds between TERM and KILL; 10 when absent.
    pub grace: Option<u64>,
    /// How many requests for data may run at once; adapted to the measured throughput when absent.
    pub transfer_jobs: Option<u16>,
}

/// Which steps of a plan run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepSelection {
    /// These alone.
    pub only: Vec<String>,
    /// These and everything that depends on them.
    pub from: Vec<String>,
    /// These and everything that they depend on.
    pub until: Vec<String>,
    /// These run whatever earlier results there are; all when the list is empty.
    pub force_rerun: Option<Vec<String>>,
}

impl StepSelection {
    /// As planning takes it.
    pub fn steps(&self) -> Choice {
        Choice { only: self.only.clone(), from: self.from.clone(), until: self.until.clone() }
    }
}
