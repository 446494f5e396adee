//! Why results could not be looked up or stored.

use std::io;
use std::path::PathBuf;

use crate::sqlite::{SqlError, SqliteError};

/// Why results could not be looked up or stored.
#[derive(Debug, thiserror::Error)]
pub enum ReuseError {
    /// The database is damaged.
    #[error(
        "{}: this database is damaged ({said}). Remove the folder {}: the next run creates it again and \
        reuses no results", path.display(), folder.display()
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// The folder to remove.
        folder: PathBuf,
        /// The error of SQLite.
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
        /// The error of SQLite.
        source: SqlError,
    },
    /// A file could not be read to compute its digest.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// An entry cannot be written as JSON, e.g. for a path that is not Unicode.
    #[error("the result of the step '{step}' cannot be stored for reuse: {source}")]
    Record {
        /// The step.
        step: String,
        /// The error.
        source: serde_json::Error,
    },
}
