//! Errors as the command line shows them: a message, an optional hint, and an exit code.

use crate::again::amlrun;
use crate::diagnostic::{Diagnostics, Sources};
use crate::exit_status::Exit;
use crate::registry::RegistryError;
use crate::registry::copies::CopyError;
use crate::registry::credentials::CredentialsError;
use crate::registry::datastore::DatastoreError;
use crate::reuse::ReuseError;
use crate::store::StoreError;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The user's YAML is invalid. All diagnostics are shown.
    Refused { diagnostics: Diagnostics, sources: Sources, exit: Exit },
    /// Anything else.
    Message { message: String, hint: Option<String>, exit: Exit },
}

impl Failed {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message { message: message.into(), hint: None, exit: Exit::Failed }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Message { message: message.into(), hint: None, exit: Exit::Usage }
    }

    /// The user stopped the command, and the work can be resumed.
    pub(crate) fn stopped() -> Self {
        let message = "stopped; run the same command again to resume".to_owned();
        Self::Message { message, hint: None, exit: Exit::Interrupted }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::Message { message: message.into(), hint: None, exit: Exit::NotFound }
    }

    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Message { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }
}

/// The message alone, for use inside another sentence.
impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message { message, .. } => f.write_str(message),
            Self::Refused { .. } => f.write_str("the file has errors"),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoSuchRun { .. } => Self::not_found(error.to_string()),
            StoreError::RunExists(_) | StoreError::Newer { .. } => Self::new(error.to_string()),
            StoreError::Io { source, .. } => {
                let failed = Self::new(error.to_string());
                match source.kind() {
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                        failed.hint("choose another folder for the workspace with --home or AMLRUN_HOME")
                    }
                    std::io::ErrorKind::StorageFull => {
                        failed.hint(format!("free disk space, for example with '{}'", amlrun("cache gc")))
                    }
                    _ => failed,
                }
            }
        }
    }
}

impl From<CopyError> for Failed {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Store(error) => error.into(),
            CopyError::Unknown { .. } => Self::not_found(error.to_string()),
            CopyError::Exists { .. } => {
                Self::new(error.to_string()).hint("use another version, or remove the version to get the next number")
            }
            CopyError::Absolute { .. } => Self::new(error.to_string()).hint("use a path relative to the file"),
            CopyError::Rule(error) => error.into(),
        }
    }
}

impl From<DatastoreError> for Failed {
    fn from(error: DatastoreError) -> Self {
        match error {
            DatastoreError::Store(error) => error.into(),
            DatastoreError::Unknown { .. } => Self::not_found(error.to_string()),
            DatastoreError::Invalid(_) | DatastoreError::Damaged(_) => Self::new(error.to_string()),
        }
    }
}

impl From<CredentialsError> for Failed {
    fn from(error: CredentialsError) -> Self {
        let failed = Self::new(error.to_string());
        match error {
            CredentialsError::Nowhere | CredentialsError::Store(_) => {
                failed.hint("set AMLRUN_CREDENTIALS to the path of another file")
            }
            _ => failed,
        }
    }
}

impl From<ReuseError> for Failed {
    fn from(error: ReuseError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::NoSuchName { .. } | RegistryError::NoSuchVersion { .. } => {
                Self::not_found(error.to_string())
            }
            RegistryError::Dangerous { .. } | RegistryError::Unjudged { .. } => {
                Self::new(error.to_string()).hint(format!(
                    "use --allow-pickle to register it anyway; to see what it would do: {}",
                    amlrun("model inspect FILE")
                ))
            }
            _ => Self::new(error.to_string()),
        }
    }
}

impl From<crate::store::tree::TreeError> for Failed {
    fn from(error: crate::store::tree::TreeError) -> Self {
        Self::new(error.to_string())
    }
}
