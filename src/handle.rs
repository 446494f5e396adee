//! What identifies a running step outside of its runner.

use serde::{Deserialize, Serialize};

/// What identifies a running step, for people who inspect it and for a later runner that looks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handle {
    /// The groups of its processes on this machine, in the order of the ranks. The id of a group is also the process
    /// id of its leader.
    ProcessGroups(Vec<i32>),
}
