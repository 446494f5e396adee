//! What earlier runs made, and whether it can stand for what a new run would make.
//!
//! A step's [`Key`] holds everything that decides its result; the [`Entry`] of a run that succeeded keeps the key with
//! the outputs. A later step with an equal key needs no run, if [`verify()`] finds its outputs as they were. Keys hold
//! digests of content: [`Contents`] gives them without reading what has not changed, as git's index does, from the
//! [`Listing`] of a tree. [`because()`] puts the difference of two keys into words.
//!
//! All is kept in one database in a folder of its own, shared by the runners of a workspace. Losing it costs time, never
//! results. This room refuses to know plans, engines and YAML: its callers say in a key's terms what a step is.

mod because;
mod contents;
mod db;
mod entry;
mod key;
mod listing;
mod machine;
mod manifest;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use because::{Known, because};
pub use contents::{Contents, digest_of, read_tree};
pub use entry::{Entry, Kept};
pub use key::{Given, Key};
pub use listing::{FileStat, Fingerprint, Listing, Special};
pub use machine::{Machine, Python};
pub use manifest::Manifest;
pub use verify::{OutputState, verify, verify_many};

use crate::sqlite::SqliteError;

/// What earlier runs made, and the stat cache of what they read. May be shared between threads and, by opening the
/// same folder, between processes.
pub struct Reuse {
    db: db::Db,
}

/// Why something could not be looked up or kept.
#[derive(Debug, thiserror::Error)]
pub enum ReuseError {
    /// The database is damaged.
    #[error(
        "{}: this database is damaged ({said}). Remove the folder {}: only the knowledge of what can be reused is lost, \
         and the next run makes it again", path.display(), folder.display()
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What to remove.
        folder: PathBuf,
        /// What SQLite said.
        said: String,
    },
    /// The database could not be opened.
    #[error(transparent)]
    Open(SqliteError),
    /// The database failed later, e.g. the disk is full.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: db::SqlError,
    },
    /// A file whose content had to be known could not be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// An entry cannot be written as JSON, e.g. for a path that is not Unicode.
    #[error("what step '{step}' made cannot be remembered: {source}")]
    Record {
        /// The step.
        step: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
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
