//! Data of a job: where an address leads, which credentials it needs, and how its bytes come here and go there.
//!
//! [`location`] resolves addresses, [`session`] has the threads and connections of one command, [`staging`] fetches what a
//! plan reads and uploads what it writes, [`copy`] copies for `cp` and downloads.

pub(crate) mod copy;
pub(crate) mod location;
pub(crate) mod session;
pub(crate) mod staging;

use std::any::Any;
use std::sync::Arc;

use crate::diagnostic::{Diagnostics, Sources};
use crate::transfer::progress::Progress;

/// Shows a person what happens before a run has views of its own.
pub(crate) trait Reporter {
    /// Shows what was found in a file.
    fn diagnostics(&self, diagnostics: &Diagnostics, sources: &Sources);

    /// Shows how far transfers are, until the answer is dropped.
    fn transfers(&self, progress: Arc<Progress>) -> Box<dyn Any>;
}
