//! The data of a job: where an address leads, which credentials it needs, and how its bytes are downloaded and
//! uploaded.
//!
//! [`location`] resolves addresses. [`session`] has the threads and connections of one command. [`inspection`]
//! looks at the remote data of a plan before a run, [`staging`] fetches what a plan reads and uploads what it writes, and
//! `secrets` lists what must be masked. [`copy`] copies for `cp` and for downloads.

pub(crate) mod copy;
pub(crate) mod inspection;
pub(crate) mod location;
mod secrets;
pub(crate) mod session;
pub(crate) mod staging;

use std::any::Any;
use std::sync::Arc;

use crate::diagnostic::{Diagnostics, Sources};
use crate::transfer::progress::Progress;

/// Shows progress and diagnostics before a run has its own views.
pub(crate) trait Reporter {
    /// Shows the diagnostics of a file.
    fn diagnostics(&self, diagnostics: &Diagnostics, sources: &Sources);

    /// Shows the progress of transfers until the returned value is dropped.
    fn transfers(&self, progress: Arc<Progress>) -> Box<dyn Any>;
}
