//! Errors, and how MLflow reports them: an error code, an HTTP status, a message.
//!
//! Clients retry 5xx responses for minutes, so a mistake of the user is never one of them.

use std::path::{Path, PathBuf};

use crate::registry::RegistryError;
use crate::sqlite::SqlError;
use crate::sqlite::SqliteError;
use crate::store::tree::TreeError;

/// The result of this module's functions.
pub type Result<T, E = TrackingError> = std::result::Result<T, E>;

/// Why an operation of the tracking store or its server failed.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    /// A parameter is missing, malformed or not allowed.
    #[error("{0}")]
    Invalid(String),
    /// Something of this name already exists.
    #[error("{0}")]
    Exists(String),
    /// The experiment, run, model or artifact does not exist.
    #[error("{0}")]
    Missing(String),
    /// The route does not exist.
    #[error("{0}")]
    NoEndpoint(String),
    /// The route exists, but not for this method.
    #[error("{0}")]
    WrongMethod(String),
    /// The token is missing or wrong.
    #[error("{0}")]
    Unauthenticated(String),
    /// The request comes from a foreign origin or host.
    #[error("{0}")]
    Denied(String),
    /// The JSON body is too long.
    #[error("{0}")]
    TooLong(String),
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] SqliteError),
    /// The database failed later, e.g. the disk is full.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// The error of SQLite.
        source: SqlError,
    },
    /// An error of the registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A model could not be sealed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An error of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The server could not listen.
    #[error("the tracking server cannot listen on {address}: {source}")]
    Listen {
        /// The requested address.
        address: std::net::SocketAddr,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The server failed internally.
    #[error("{0}")]
    Internal(String),
}

impl TrackingError {
    /// MLflow's `error_code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) | Self::TooLong(_) => "INVALID_PARAMETER_VALUE",
            Self::Exists(_) => "RESOURCE_ALREADY_EXISTS",
            Self::Missing(_) => "RESOURCE_DOES_NOT_EXIST",
            Self::NoEndpoint(_) => "ENDPOINT_NOT_FOUND",
            Self::WrongMethod(_) => "BAD_REQUEST",
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::Denied(_) => "PERMISSION_DENIED",
            Self::Registry(error) => match error {
                RegistryError::Invalid(_) | RegistryError::Dangerous { .. } | RegistryError::Unjudged { .. } => {
                    "INVALID_PARAMETER_VALUE"
                }
                RegistryError::NoSuchName { .. } | RegistryError::NoSuchVersion { .. } => "RESOURCE_DOES_NOT_EXIST",
                RegistryError::Exists { .. } => "RESOURCE_ALREADY_EXISTS",
                RegistryError::Changed { .. } => "INVALID_STATE",
                RegistryError::Open(_) | RegistryError::Database { .. } => "INTERNAL_ERROR",
            },
            Self::Tree(TreeError::Leaves { .. } | TreeError::NotAFile { .. }) => "INVALID_PARAMETER_VALUE",
            Self::Io { source, .. } | Self::Tree(TreeError::Io { source, .. }) if is_of_the_name(source) => {
                "INVALID_PARAMETER_VALUE"
            }
            _ => "INTERNAL_ERROR",
        }
    }

    /// The HTTP status that MLflow pairs with the code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match (self, self.code()) {
            (Self::TooLong(_), _) => 413,
            (Self::WrongMethod(_), _) => 405,
            (_, "INVALID_PARAMETER_VALUE" | "RESOURCE_ALREADY_EXISTS") => 400,
            (_, "RESOURCE_DOES_NOT_EXIST" | "ENDPOINT_NOT_FOUND") => 404,
            (_, "UNAUTHENTICATED") => 401,
            (_, "PERMISSION_DENIED") => 403,
            (_, "INVALID_STATE") => 409,
            _ => 500,
        }
    }

    /// The error for an invalid value of a parameter, with MLflow's message.
    pub(crate) fn invalid_value(value: &str, parameter: &str, why: &str) -> Self {
        Self::Invalid(format!("Invalid value {value} for parameter '{parameter}' supplied: {why}"))
    }

    /// For `map_err`: the I/O error with its path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Whether the system refused the name itself: it is too long, leads through a file, or contains NUL.
fn is_of_the_name(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory};
    let kinds = [InvalidFilename, InvalidInput, NotADirectory, IsADirectory, AlreadyExists];
    kinds.contains(&error.kind())
}
