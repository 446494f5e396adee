//! Runs that were made: read back from their records, followed while they go on, kept and removed.
//!
//! [`record`] is what a run recorded, [`find`] finds runs and steps by what a person calls them, [`follow`] watches one that
//! another process makes, [`step_logs`] finds what steps printed, and [`retention`] knows what may be removed.

pub(crate) mod cancel;
pub(crate) mod compare;
pub(crate) mod find;
pub(crate) mod follow;
pub(crate) mod leftovers;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod retention;
pub(crate) mod step_logs;
