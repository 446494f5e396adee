//! Results of earlier runs: which step can reuse one, and what this run adds.
//!
//! [`inputs`] is what was seen of a plan's data and code, [`key`] what decides a result, [`lookup`] finds an earlier result
//! for a key, [`decide`] asks that for a whole plan, and [`recorder`] stores what completed steps wrote.

mod decide;
mod decision;
mod inputs;
mod key;
mod lookup;
mod recorder;

pub use decide::{decide, scope};
pub use decision::{CacheDecision, CachedResult, Decision, Force};
pub use inputs::{InputSnapshot, Seen};
pub use key::windows_scripts;

pub(super) use inputs::{code_listing, local_paths};
pub(super) use lookup::{CacheLookup, KeyState, info};
pub(super) use recorder::Recorder;
