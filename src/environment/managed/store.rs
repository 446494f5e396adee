//! The built environments of a user: one folder for each content, shared by all workspaces.
//!
//! A virtual environment cannot be moved, so it is built in its final place. It counts only when `ready.json` exists,
//! which is written last: an environment whose build was killed is built again.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::fs::atomic::{self, Durability};

/// The exact content of a built environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The environment's name for people.
    pub name: String,
    /// Where its definition is from.
    pub source: String,
    /// The version of Python.
    pub python: String,
    /// The version of each installed distribution, by its name.
    pub packages: BTreeMap<String, String>,
    /// The digest of the definition.
    pub digest: Digest,
    /// When it was built.
    pub built: Timestamp,
}

/// An environment that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The folder of its programs.
    pub bin: PathBuf,
    /// Its content.
    pub lock: Lock,
}

/// All built environments of a user.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in a folder.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The store in the user's cache folder. `None` if the user has no such folder.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        Some(Self::at(crate::fs::user::cache_folder()?.join("environments/v1")))
    }

    /// The folder of an environment.
    #[must_use]
    pub fn folder(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.short())
    }

    /// An environment, if it was built.
    #[must_use]
    pub fn ready(&self, digest: &Digest) -> Option<Ready> {
        // The folder has a short form of the digest.
        ready_in(&self.folder(digest)).filter(|ready| ready.lock.digest == *digest)
    }

    /// Takes the right to build an environment: the same environment is built once, however many ask for it. Blocks while
    /// another process has it. The right ends when the file is dropped, however this process ends.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn reserve(&self, digest: &Digest) -> io::Result<File> {
        let file = self.lock_file(digest)?;
        file.lock()?;
        Ok(file)
    }

    /// The same if no other process has it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn try_reserve(&self, digest: &Digest) -> io::Result<Option<File>> {
        let file = self.lock_file(digest)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock_file(&self, digest: &Digest) -> io::Result<File> {
        fs::create_dir_all(&self.root).map_err(|error| crate::fs::at(&self.root, &error))?;
        let path = self.root.join(format!("{}.lock", digest.short()));
        File::create(&path).map_err(|error| crate::fs::at(&path, &error))
    }

    /// Removes what an earlier build left, and makes an empty folder for an environment.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn begin(&self, digest: &Digest) -> io::Result<PathBuf> {
        let folder = self.folder(digest);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(crate::fs::at(&folder, &error)),
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(|error| crate::fs::at(&folder, &error))?;
        Ok(folder)
    }

    /// Declares a built environment ready.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn finish(&self, digest: &Digest, lock: &Lock) -> io::Result<Ready> {
        let folder = self.folder(digest);
        let text = serde_json::to_vec_pretty(lock).unwrap_or_default();
        atomic::write(&folder.join(READY), text, Durability::Synced)?;
        Ok(Ready { bin: bin(&folder), lock: lock.clone() })
    }

    /// All environments that are ready, by their names.
    #[must_use]
    pub fn list(&self) -> Vec<(PathBuf, Lock)> {
        let folders = fs::read_dir(&self.root).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<(PathBuf, Lock)> =
            folders.filter_map(|folder| Some((folder.clone(), ready_in(&folder)?.lock))).collect();
        found.sort_by(|a, b| (&a.1.name, &a.0).cmp(&(&b.1.name, &b.0)));
        found
    }
}

const READY: &str = "ready.json";

fn bin(folder: &Path) -> PathBuf {
    folder.join("env/bin")
}

fn ready_in(folder: &Path) -> Option<Ready> {
    let lock = serde_json::from_slice(&fs::read(folder.join(READY)).ok()?).ok()?;
    let bin = bin(folder);
    bin.join("python").exists().then_some(Ready { bin, lock })
}
