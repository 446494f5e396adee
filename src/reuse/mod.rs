//! The results of earlier runs, and whether a new run can reuse them.
//!
//! A step's [`Key`] contains everything that decides its result; the [`Entry`] of a successful step stores the key
//! with the outputs. A later step with an equal key does not have to run if [`verify()`] finds its outputs unchanged.
//! Keys contain digests of content: [`Contents`] computes them from the [`Listing`] of a tree without reading
//! unchanged files, as git's index does. [`differences()`] explains the difference of two keys.
//!
//! Everything is stored in one database in its own folder, shared by the runners of a workspace. Losing it costs
//! time, never results. This module does not know plans, engines and YAML: its callers describe a step in the terms
//! of a key.

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

/// The results of earlier runs, and the stat cache of what they read. Threads may share it, and processes may open
/// the same folder.
pub struct Reuse {
    db: db::Db,
}

impl Reuse {
    /// Opens the database in `folder`, which is made if it does not exist. Paths of outputs are stored relative to
    /// `base`, so that it can be moved.
    ///
    /// # Errors
    /// [`ReuseError::Damaged`] and [`ReuseError::Open`].
    pub fn open(folder: &Path, base: &Path) -> Result<Self, ReuseError> {
        Ok(Self { db: db::Db::open(folder, base)? })
    }

    /// Opens the database in `folder` if it exists; `None` otherwise, and nothing is made.
    ///
    /// # Errors
    /// As [`Reuse::open`].
    pub fn open_existing(folder: &Path, base: &Path) -> Result<Option<Self>, ReuseError> {
        if db::file(folder).exists() { Self::open(folder, base).map(Some) } else { Ok(None) }
    }

    /// The size of the database on disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.db.size()
    }
}
