//! What earlier runs made, and whether it can stand for what a new run would make.
//!
//! A step's [`Key`] holds everything that decides its result; the [`Entry`] of a run that succeeded keeps the key with
//! the outputs. A later step with an equal key needs no run, if [`verify()`] finds its outputs as they were. Keys hold
//! digests of content: [`Contents`] gives them without reading what has not changed, as git's index does, from the
//! [`Listing`] of a tree. [`differences()`] puts the difference of two keys into words.
//!
//! All is kept in one database in a folder of its own, shared by the runners of a workspace. Losing it costs time, never
//! results. This room refuses to know plans, engines and YAML: its callers say in a key's terms what a step is.

mod contents;
mod db;
mod difference;
mod entry;
mod error;
mod key;
mod listing;
mod machine;
mod manifest;
mod stat;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use contents::{Contents, digest_of, read_tree};
pub use difference::differences;
pub use entry::{Entry, Kept};
pub use error::ReuseError;
pub use key::{Given, Key};
pub use listing::{Fingerprint, Listing};
pub use machine::{Known, Machine, Python};
pub use manifest::Manifest;
pub use stat::{FileStat, Special};
pub use verify::{OutputState, verify, verify_many};

/// What earlier runs made, and the stat cache of what they read. May be shared between threads and, by opening the
/// same folder, between processes.
pub struct Reuse {
    db: db::Db,
}

impl Reuse {
    /// Opens what is kept in `folder`, which is made when it does not exist. Paths of outputs are kept relative to `base`,
    /// so that it may be moved.
    ///
    /// # Errors
    /// [`ReuseError::Damaged`] and [`ReuseError::Open`].
    pub fn open(folder: &Path, base: &Path) -> Result<Self, ReuseError> {
        Ok(Self { db: db::Db::open(folder, base)? })
    }

    /// Opens what is kept in `folder` if there is anything; `None` otherwise, and nothing is made.
    ///
    /// # Errors
    /// As [`Reuse::open`].
    pub fn open_existing(folder: &Path, base: &Path) -> Result<Option<Self>, ReuseError> {
        if db::file(folder).exists() { Self::open(folder, base).map(Some) } else { Ok(None) }
    }

    /// The bytes on disk that all this takes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.db.size()
    }
}
