//! Model files as people exchange them, read in every form and written in those that Python loads, in pure Rust.
//!
//! [`ModelFile::open`] takes a file or folder and gives an [`Inspection`]: what it is, its tensors, its modules, and
//! whether loading it in Python would be safe. Nothing here knows libtorch, a network that computes, a registry or a
//! run; that is why the runner can look into a model without linking hundreds of megabytes.
//!
//! Reading, from the outside in: [`file`](mod@file) tells forms apart, [`folder`] chooses among files; [`torch_file`],
//! [`safetensors_header`] and [`export`] are the forms. They read ranges of a file ([`source`]), [`zip_directory`] finds
//! them, [`packed`] unpacks, and [`unpickle`] builds the values of a pickle without executing it. All end in
//! [`contents`]: tensors described, not read. [`safety`] judges, [`inspection`] and [`view`] tell.
//!
//! Writing: [`safetensors`] and [`torchscript`] from [`Tensor`]s in memory, [`save`] from any [`Contents`] without
//! holding them; [`compare`] tells two models apart. [`architecture`] describes a network beside its weights, [`atomic`]
//! puts a finished file in its place.
//!
//! The stage binary, the registry and the model commands call it.

pub mod architecture;
pub mod archive;
pub mod atomic;
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
    /// The file is not what its name promises, or is not understood to its end: whether it is safe cannot be judged.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, in words.
        reason: String,
    },
    /// The file is no model at all: no loader of models would run anything in it.
    #[error("{}: {reason}", path.display())]
    NoModel {
        /// The file.
        path: PathBuf,
        /// What it is instead, in words.
        reason: String,
        /// Whether it was surely meant as one: a pointer of Git LFS, a page of a web server.
        mistaken: bool,
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
