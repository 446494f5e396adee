//! What a workspace stores on disk: runs, step folders, and outputs at their final address.
//!
//! [`layout`] and [`run_folder`] are the places that know the paths under `.amlrun/`. [`snapshot`] copies a step's code into its
//! working directory. [`seal`] makes an output read-only once its step succeeded; after that it is never moved, and
//! the record of the run has its stat. [`tree`] copies folders.
//!
//! This module knows folders and bytes. It does not know plans, processes and databases. The engine calls it for
//! every step; the registry and the command line use it for paths.

mod cancel;
pub mod kept_log;
pub mod layout;
pub mod left;
pub mod remote;
pub mod run_folder;
pub mod seal;
pub mod shell_word;
pub mod snapshot;
pub mod tree;

use std::io;
use std::path::{Path, PathBuf};

pub use layout::Home;
pub use run_folder::{RunFolder, StepFolder};

/// An error of the file system.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation on a path failed.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The name of a run is taken.
    #[error("the run '{0}' already exists: choose another name, or remove the name to generate one")]
    RunExists(String),
    /// A newer amlrun has stored something in the workspace that this one does not know.
    #[error(
        "{}: this workspace was written by a newer version of amlrun; nothing was changed. Update amlrun, or use \
         another folder with --home",
        path.display()
    )]
    Newer {
        /// The unknown file or folder.
        path: PathBuf,
    },
    /// There is no such run.
    #[error("the run '{name}' was not found{hint}")]
    NoSuchRun {
        /// The name asked for.
        name: String,
        /// A similar name, as the end of the sentence.
        hint: String,
    },
}

/// A path in a folder; the folder itself for all of it.
pub(crate) fn below(folder: PathBuf, path: &str) -> PathBuf {
    if path.is_empty() { folder } else { folder.join(path) }
}

/// Turns an I/O error into one that names the path.
pub(crate) fn at<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { what, path: path.to_owned(), source }
}
