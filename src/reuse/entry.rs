//! The stored result of a step that succeeded: what is needed to reuse it, or to explain later what has changed.

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
    /// Its cache key.
    pub key: Key,
    /// The job file that it belongs to.
    pub scope: String,
    /// The step's path in the job.
    pub step: String,
    /// The run.
    pub run: String,
    /// The step's own job name.
    pub job: String,
    /// Its outputs.
    pub outputs: Vec<Kept>,
    /// When it ended.
    pub finished: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// The last value of each metric that it logged.
    #[serde(with = "crate::number::metrics")]
    pub metrics: Vec<(String, f64)>,
    /// Whether other steps may reuse it. If not, it only serves to explain what has changed since.
    pub offered: bool,
}

/// One output of a step that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The output's name.
    pub name: String,
    /// Its type, e.g. `uri_folder`.
    pub kind: String,
    /// Its path.
    pub path: PathBuf,
    /// The stat of its files, which shows whether it was touched.
    pub fingerprint: Fingerprint,
    /// The digest of its content.
    pub digest: Digest,
    /// The number of its files.
    pub files: u64,
    /// Their total size.
    pub bytes: u64,
}

impl Reuse {
    /// The newest reusable result for a key, by the key's hash.
    ///
    /// # Errors
    /// [`ReuseError::Database`], as for all queries here.
    pub fn find(&self, hash: &Digest) -> Result<Option<Entry>, ReuseError> {
        self.db.find(hash)
    }

    /// The newest reusable results for many keys. Keys without a result are not in the map.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn find_many(&self, hashes: &[Digest]) -> Result<HashMap<Digest, Entry>, ReuseError> {
        self.db.find_many(hashes)
    }

    /// Whether there is a reusable result for a key with this [`Key::shape`].
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn has_shape(&self, shape: &Digest) -> Result<bool, ReuseError> {
        self.db.has_shape(shape)
    }

    /// The newest result of a step of a job file, reusable or not.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn last(&self, scope: &str, step: &str) -> Result<Option<Entry>, ReuseError> {
        self.db.last(scope, step)
    }

    /// Stores results, all or none. A result replaces an earlier one with the same key, step and outputs.
    ///
    /// # Errors
    /// [`ReuseError::Database`]; [`ReuseError::Record`] for a path that is not Unicode.
    pub fn keep(&self, entries: &[Entry]) -> Result<(), ReuseError> {
        self.db.keep(entries)
    }

    /// Stores new fingerprints of outputs whose bytes are the same, by the output's path.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn refreshed(&self, outputs: &[(PathBuf, Fingerprint)]) -> Result<(), ReuseError> {
        self.db.refreshed(outputs)
    }

    /// Removes all results of these keys, by hash.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn forget(&self, hashes: &[Digest]) -> Result<(), ReuseError> {
        self.db.forget(hashes)
    }

    /// Removes all results of these runs.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn forget_runs(&self, runs: &[String]) -> Result<(), ReuseError> {
        self.db.forget_runs(runs)
    }

    /// Removes all results that have an output at one of these paths.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn forget_paths(&self, paths: &[PathBuf]) -> Result<(), ReuseError> {
        self.db.forget_paths(paths)
    }

    /// All results, the oldest first.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn entries(&self) -> Result<Vec<Entry>, ReuseError> {
        self.db.entries()
    }

    /// Removes entries of the stat cache for places that no longer exist, and the files of trees that nothing refers
    /// to. Returns the number of both. The file shrinks if nobody else uses it.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn prune(&self) -> Result<usize, ReuseError> {
        self.db.prune()
    }
}
