//! Why the registry did not do what it was asked.

use std::path::PathBuf;

use super::kind::AssetKind;
use crate::sqlite::SqliteError;

/// Why the registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] SqliteError),
    /// The database failed later, e.g. the disk is full.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A name, version, label or type that the rules do not allow.
    #[error("{0}")]
    Invalid(String),
    /// No asset has this name. `near` is one like it.
    #[error("no {kind} asset is named '{name}'{}", near.as_ref().map(|n| format!("; did you mean '{n}'?")).unwrap_or_default())]
    NoSuchName {
        /// Model or data.
        kind: AssetKind,
        /// The name asked for.
        name: String,
        /// A name that exists and looks like it.
        near: Option<String>,
    },
    /// The name exists, but not this version or label of it.
    #[error("{kind} asset '{name}' has no {wanted}{}", if known.is_empty() { String::new() } else { format!("; choose from {}", known.join(", ")) })]
    NoSuchVersion {
        /// Model or data.
        kind: AssetKind,
        /// The asset's name.
        name: String,
        /// What was asked for: `version 7`, `label 'champion'`, `versions yet`.
        wanted: String,
        /// What there is instead, newest first.
        known: Vec<String>,
    },
    /// The files would run code when Python loads them.
    #[error("'{name}' is not registered, because loading it in Python would be dangerous: {why}")]
    Dangerous {
        /// The asset's name.
        name: String,
        /// What it would do.
        why: String,
    },
    /// The bytes of a version are not what was registered.
    #[error(
        "the bytes of the {kind} asset '{id}' are not what was registered: {} {what}; register it again as a new version",
        path.display()
    )]
    Changed {
        /// Model or data.
        kind: AssetKind,
        /// `name:version`.
        id: String,
        /// Where the bytes are, or were.
        path: PathBuf,
        /// What became of them.
        what: String,
    },
    /// Nobody can say what Python would do with the files.
    #[error("'{name}' is not registered, because it cannot be judged whether loading it in Python is safe: {why}")]
    Unjudged {
        /// The asset's name.
        name: String,
        /// What was not understood.
        why: String,
    },
    /// The name, or this version of it, is taken.
    #[error("{kind} asset '{id}' already exists; versions never change, register a new one")]
    Exists {
        /// Model or data.
        kind: AssetKind,
        /// `name` or `name:version`.
        id: String,
    },
}

/// What the registry's functions return.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Inside a transaction: an answer for the caller, or SQLite's own trouble that still lacks the file's name.
pub(super) enum Trouble {
    Said(RegistryError),
    Database(rusqlite::Error),
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self::Said(error)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}
