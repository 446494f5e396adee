//! What a step made that succeeded: enough to let it stand for another, or to tell later what has changed.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::key::Key;
use super::listing::Fingerprint;
use super::{Reuse, ReuseError};
use crate::clock::Timestamp;
use crate::digest::Digest;

/// A step that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What decided its result.
    pub key: Key,
    /// The job file that it belongs to.
    pub scope: String,
    /// The step's path in the job.
    pub step: String,
    /// The run.
    pub run: String,
    /// The step's own job name.
    pub job: String,
    /// What it made.
    pub outputs: Vec<Kept>,
    /// When it ended.
    pub finished: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// The last value of each metric that it logged.
    #[serde(with = "crate::number::metrics")]
    pub metrics: Vec<(String, f64)>,
    /// Whether it may stand for another step. If not it is there to tell what has changed since.
    pub offered: bool,
}

/// One output of a step that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The output's name.
    pub name: String,
    /// Its type, e.g. `uri_folder`.
    pub kind: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its stat, by which it is known to be untouched.
    pub fingerprint: Fingerprint,
    /// Its content.
    pub digest: Digest,
    /// How many files it has.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Reuse {
    /// The newest result that is offered for a key, by the key's hash.
    ///
    /// # Errors
    /// [`ReuseError::Database`], as all questions here.
    pub fn find(&self, hash: &Digest) -> Result<Option<Entry>, ReuseError> {
        self.db.find(hash)
    }

    /// The newest results that are offered for many keys; what is not in the map is not known.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn find_many(&self, hashes: &[Digest]) -> Result<HashMap<Digest, Entry>, ReuseError> {
        self.db.find_many(hashes)
    }

    /// Whether a result is offered for a key that has this [`Key::shape`].
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn has_shape(&self, shape: &Digest) -> Result<bool, ReuseError> {
        self.db.has_shape(shape)
    }

    /// The newest result of a step of a job file, offered or not.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn last(&self, scope: &str, step: &str) -> Result<Option<Entry>, ReuseError> {
        self.db.last(scope, step)
    }

    /// Keeps results, all or none. One with the key, the step and the outputs of an earlier one takes its place.
    ///
    /// # Errors
    /// [`ReuseError::Database`]; [`ReuseError::Record`] for a path that is not Unicode.
    pub fn keep(&self, entries: &[Entry]) -> Result<(), ReuseError> {
        self.db.keep(entries)
    }

    /// Notes new fingerprints of outputs whose bytes are the same, by the output's path.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn refreshed(&self, outputs: &[(PathBuf, Fingerprint)]) -> Result<(), ReuseError> {
        self.db.refreshed(outputs)
    }

    /// Forgets every result of these keys, by hash.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn forget(&self, hashes: &[Digest]) -> Result<(), ReuseError> {
        self.db.forget(hashes)
    }

    /// Forgets every result that these runs made.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn forget_runs(&self, runs: &[String]) -> Result<(), ReuseError> {
        self.db.forget_runs(runs)
    }

    /// Forgets every result that has an output at one of these paths.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn forget_paths(&self, paths: &[PathBuf]) -> Result<(), ReuseError> {
        self.db.forget_paths(paths)
    }

    /// Every result, the oldest first.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn entries(&self) -> Result<Vec<Entry>, ReuseError> {
        self.db.entries()
    }

    /// Drops what the stat cache knows of places that no longer exist, and the files of trees that nothing names any
    /// more; returns how many of both. The file shrinks if nobody else uses it.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn prune(&self) -> Result<usize, ReuseError> {
        self.db.prune()
    }
}
