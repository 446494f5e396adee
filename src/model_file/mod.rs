//! Model files as people exchange them: safetensors, and torch's own archives, in pure Rust.
//!
//! A file here is bytes on disk and named [`Tensor`]s in memory; nothing in this folder knows libtorch, a network that
//! computes, a registry or a run. That is why the runner can look into a model without linking hundreds of megabytes.
//!
//! The rooms, from the outside in: [`safetensors`] and [`torchscript`] are whole files; both are made of [`tensors`].
//! A TorchScript file is a zip ([`archive`]) around little pickles ([`pickle`]) and readable code. [`architecture`]
//! is the description beside the weights from which a network is rebuilt. [`atomic`] puts a finished file in its place.
//!
//! Pickles are written here and never executed: a reader of torch's pickles belongs beside the writer and will accept
//! a closed list of names only. Readers of the other torch forms (`.pth`, checkpoints) grow here as rooms of their own.
//!
//! The stage binary writes models with it; the registry and the model commands read them.

pub mod architecture;
pub mod archive;
pub mod atomic;
pub mod pickle;
pub mod safetensors;
pub mod tensors;
pub mod torchscript;

pub use architecture::{Architecture, Column};
pub use tensors::{DType, Tensor};

use std::path::{Path, PathBuf};

/// What can go wrong with a model file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder at hand.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what its name promises.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, in words.
        reason: String,
    },
    /// A tensor does not fit where it is asked for.
    #[error("tensor '{name}': {reason}")]
    Tensor {
        /// Its name in the `state_dict`.
        name: String,
        /// What is wrong, in words.
        reason: String,
    },
    /// The description of a network makes no network.
    #[error("architecture: {0}")]
    Architecture(String),
    /// The bytes of an archive could not be put together.
    #[error("model archive: {0}")]
    Archive(String),
}

/// An [`Error::Io`] about `path`, for `map_err`.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
