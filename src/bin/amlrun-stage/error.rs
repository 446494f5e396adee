//! What can stop a stage. Each is one message: what, where, what to do.

use std::path::{Path, PathBuf};

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The data are not what the stage needs.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A model file is not what it should be.
    #[error(transparent)]
    Model(#[from] amlrun::model_file::Error),
    /// The MLflow server refused, or is not there.
    #[error(transparent)]
    Mlflow(#[from] crate::mlflow::MlflowError),
    /// A `--require` names what is not there, or was not met.
    #[error(transparent)]
    Require(#[from] crate::require::RequireError),
    /// libtorch refused. Only its first line is shown: the rest is a C++ backtrace.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] tch::TchError),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder at hand.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else, already in words.
    #[error("{0}")]
    Message(String),
}

impl StageError {
    /// An error in words.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }
}

/// A [`StageError::Io`] about `path`, for `map_err`.
pub fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> StageError {
    let path = path.to_owned();
    move |source| StageError::Io { path, source }
}

/// The line that says it: errors inside of TorchScript begin with where, and say what after `RuntimeError:`.
fn first_line(error: &tch::TchError) -> String {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.clone().find_map(|line| line.strip_prefix("RuntimeError: "));
    said.or_else(|| lines.next()).unwrap_or("unknown trouble").to_owned()
}
