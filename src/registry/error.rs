//! The errors of the registry.

use std::path::PathBuf;

use super::kind::AssetKind;
use crate::sqlite::{self, SqliteError};

/// Why an operation of the registry failed.
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
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// An invalid name, version, label or type.
    #[error("{0}")]
    Invalid(String),
    /// No asset has this name. `near` is a similar one.
    #[error(
        "the {kind} asset '{name}' was not found{}",
        near.as_ref().map(|n| format!("; did you mean '{n}'?")).unwrap_or_default()
    )]
    NoSuchName {
        /// Model or data.
        kind: AssetKind,
        /// The name that was given.
        name: String,
        /// A similar name that exists.
        near: Option<String>,
    },
    /// The name exists, but not this version or label of it.
    #[error(
        "the {kind} asset '{name}' has no {wanted}{}",
        if known.is_empty() { String::new() } else { format!("; use one of {}", known.join(", ")) }
    )]
    NoSuchVersion {
        /// Model or data.
        kind: AssetKind,
        /// The asset's name.
        name: String,
        /// The selector: `version 7`, `label 'champion'`, `versions yet`.
        wanted: String,
        /// Existing versions, newest first.
        known: Vec<String>,
    },
    /// The files run code when Python loads them.
    #[error("'{name}' was not registered because loading it in Python would be dangerous: {why}")]
    Dangerous {
        /// The asset's name.
        name: String,
        /// What the code does.
        why: String,
    },
    /// The content of a version has changed.
    #[error(
        "the {kind} asset '{id}' differs from what was registered: {} {what}; register it again as a new version",
        path.display()
    )]
    Changed {
        /// Model or data.
        kind: AssetKind,
        /// `name:version`.
        id: String,
        /// The path of the content.
        path: PathBuf,
        /// What happened to it.
        what: String,
    },
    /// It is not known what Python would do with the files.
    #[error("'{name}' was not registered because amlrun cannot tell whether loading it in Python is safe: {why}")]
    Unjudged {
        /// The asset's name.
        name: String,
        /// What was not understood.
        why: String,
    },
    /// The name, or this version of it, already exists.
    #[error("the {kind} asset '{id}' already exists, and versions cannot be changed: register a new version")]
    Exists {
        /// Model or data.
        kind: AssetKind,
        /// `name` or `name:version`.
        id: String,
    },
}

/// The result of the registry's functions.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// An error inside a transaction.
pub(super) type Trouble = sqlite::Trouble<RegistryError>;

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self::Own(error)
    }
}
