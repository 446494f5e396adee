//! Model files: reads all common formats, and writes those that Python loads, in pure Rust.
//!
//! [`ModelFile::open`] takes a file or folder and returns an [`Inspection`]: its kind, its tensors, its modules, and
//! whether loading it in Python would be safe. This module must not know libtorch, networks that compute, registries or
//! runs, so that the runner can inspect models without linking hundreds of megabytes.
//!
//! Reading, from the outside in: [`file`](mod@file) detects the format, [`folder`] chooses among files; [`torch_file`],
//! [`safetensors_header`] and [`export`] read the formats. They read ranges of a file ([`source`]), [`zip_directory`]
//! finds these ranges, [`packed`] decompresses, and [`unpickle`] builds the values of a pickle without executing it.
//! All return [`contents`]: tensors that are described, not read. [`safety`] assesses the result; [`inspection`] and
//! [`view`] show it.
//!
//! Writing: [`safetensors`] and [`torchscript`] write [`Tensor`]s from memory, [`save`] writes any [`Contents`] without
//! loading all of it. [`compare`] compares two models. [`architecture`] describes a network beside its weights.
//!
//! The stage binary, the registry and the model commands call it.

pub mod architecture;
pub mod archive;
pub mod compare;
pub mod contents;
pub mod export;
pub mod file;
pub mod folder;
pub mod inspection;
mod members;
mod mlflow;
mod names;
pub mod npy;
pub mod numbers;
pub mod packed;
pub mod pickle;
pub mod safetensors;
pub mod safetensors_header;
pub mod safety;
pub mod save;
mod saved;
pub mod scalar_type;
mod skops;
pub mod source;
pub mod tensors;
pub mod torch_file;
pub mod torchscript;
pub mod unpickle;
pub mod view;
pub(crate) mod words;
pub mod zip_directory;

pub use architecture::{Architecture, Column};
pub use contents::{Contents, Kind, LazyTensor};
pub use file::ModelFile;
pub use inspection::Inspection;
pub use safety::Safety;
pub use scalar_type::ScalarType;
pub use tensors::{DType, Tensor};

use std::path::{Path, PathBuf};

use crate::fs::atomic::{self, Durability};

/// An error with a model file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is malformed or was not understood to its end: its safety cannot be determined.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is not a model: no program that loads models would run anything in it.
    #[error("{}: {reason}", path.display())]
    NoModel {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
        /// Whether it was clearly meant to be a model: a Git LFS pointer, or an HTML page.
        mistaken: bool,
    },
    /// A tensor does not meet the requirements.
    #[error("tensor '{name}': {reason}")]
    Tensor {
        /// Its name in the `state_dict`.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The description of a network is not valid.
    #[error("architecture: {0}")]
    Architecture(String),
    /// An archive could not be written.
    #[error("model archive: {0}")]
    Archive(String),
}

/// Writes a file of a model atomically and synced: training takes longer than that.
///
/// # Errors
/// When the file cannot be written. An existing file is unchanged then.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    atomic::write(path, bytes, Durability::Synced).map_err(io_error(path))
}

/// An [`Error::Io`] about `path`, for `map_err`.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
