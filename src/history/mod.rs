//! Existing runs: reads their records, follows them while they run, and removes them.
//!
//! [`record`] reads what a run recorded. [`find`] finds runs and steps by the names that users type. [`follow`] follows
//! a run of another process. [`step_logs`] finds what steps printed. [`retention`] decides what may be removed.

pub(crate) mod cancel;
pub(crate) mod compare;
pub(crate) mod find;
pub(crate) mod follow;
pub(crate) mod leftovers;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod retention;
pub(crate) mod step_logs;
