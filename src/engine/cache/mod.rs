//! The cache of results: which step can reuse an earlier result, and what this run adds.
//!
//! [`inputs`] holds what was seen of a plan's data and code. [`key`] computes cache keys, [`lookup`] finds an earlier
//! result for a key, [`decide()`] does that for a whole plan, and [`recorder`] stores the results of completed steps.

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
pub(super) use key::machine;
pub(super) use lookup::{CacheLookup, KeyState, forced, info};
pub(super) use recorder::Recorder;
