//! What a workspace keeps on disk: runs, step folders, and output trees at their final address.
//!
//! [`layout`] is the one place that knows where things lie under `.amlrun/`. [`snapshot`] lays a step's code into its
//! working directory. [`seal`] closes an output once its step succeeded: from then on it is read-only and never moved; by
//! which stat it is known, the record of the run tells. [`tree`] copies folders.
//!
//! This room knows folders and bytes. It refuses to know plans, processes and databases. The engine calls it for every
//! step; the registry's owner and the command line ask it for addresses.

mod cancel;
pub mod kept_log;
pub mod layout;
pub mod left;
pub mod remote;
pub mod seal;
pub mod shell_word;
pub mod snapshot;
pub mod tree;

use std::io;
use std::path::{Path, PathBuf};

pub use layout::{Home, RunFolder, StepFolder};

/// The disk said no.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation on a path failed.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name of a run is taken.
    #[error("a run named '{0}' exists already: choose another name, or leave it out to get a fresh one")]
    RunExists(String),
    /// A newer amlrun has put something into the workspace that this one does not know.
    #[error(
        "{}: a newer amlrun wrote this workspace; nothing was changed. Update amlrun, or name another folder with --home",
        path.display()
    )]
    Newer {
        /// What it does not know.
        path: PathBuf,
    },
    /// There is no such run.
    #[error("there is no run named '{name}'{hint}")]
    NoSuchRun {
        /// The name asked for.
        name: String,
        /// A near name, as the end of the sentence.
        hint: String,
    },
}

/// A path in a folder; the folder itself for all of it.
pub(crate) fn below(folder: PathBuf, path: &str) -> PathBuf {
    if path.is_empty() { folder } else { folder.join(path) }
}

/// Turns an I/O error into one that tells the path.
pub(crate) fn at<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { what, path: path.to_owned(), source }
}
