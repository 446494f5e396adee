//! The errors of stages. Each has one message: what is wrong, where, and what to do.

use std::path::{Path, PathBuf};

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The data do not meet the stage's requirements.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A model file is not valid.
    #[error(transparent)]
    Model(#[from] amlrun::model_file::Error),
    /// The MLflow server refused a request or is not available.
    #[error(transparent)]
    Mlflow(#[from] crate::mlflow::MlflowError),
    /// A `--require` names an unknown metric, or was not met.
    #[error(transparent)]
    Require(#[from] crate::require::RequireError),
    /// libtorch reported an error. Only its first line is shown: the rest is a C++ backtrace.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] tch::TchError),
    /// The file system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Any other error, as a message.
    #[error("{0}")]
    Message(String),
}

impl StageError {
    /// An error with a message.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }
}

/// A [`StageError::Io`] about `path`, for `map_err`.
pub fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> StageError {
    let path = path.to_owned();
    move |source| StageError::Io { path, source }
}

/// The line with the message: errors in TorchScript begin with the position, and have the message after
/// `RuntimeError:`.
fn first_line(error: &tch::TchError) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.clone().find_map(|line| line.strip_prefix("RuntimeError: "));
    said.or_else(|| lines.next()).unwrap_or("unknown error").to_owned()
}
