//! The built environments of a user: one folder for each content, shared by all workspaces.
//!
//! A virtual environment cannot be moved, so it is built in its final place. It counts only when `ready.json` exists,
//! which is written last: an environment whose build was killed is built again, and so is one whose packages somebody
//! changed. Two lock files stand beside each: `.lock` belongs to the process that builds or removes the environment, and
//! those that use it share `.use`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::content;
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
    /// The mark of what was installed when it was built.
    pub mark: Digest,
    /// When it was built.
    pub built: Timestamp,
}

/// An environment that is ready. It is not removed as long as this exists.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The folder of its programs.
    pub bin: PathBuf,
    /// Its content.
    pub lock: Lock,
    _used: Option<Arc<File>>,
}

/// An environment on the disk.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its folder.
    pub folder: PathBuf,
    /// Its content; `None` if it was not finished.
    pub lock: Option<Lock>,
    /// When a run last used it; `None` if none did.
    pub used: Option<SystemTime>,
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

    /// The folder of all environments.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of an environment.
    #[must_use]
    pub fn folder(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.short())
    }

    /// An environment, if it was built and is unchanged since.
    #[must_use]
    pub fn ready(&self, digest: &Digest) -> Option<Ready> {
        let folder = self.folder(digest);
        if !folder.join(READY).exists() {
            return None;
        }
        // The lock comes first: afterwards nobody removes it. In a cache that nobody can write to, nobody can remove it
        // anyway.
        let used = self.lock_file(digest, USE).ok();
        if let Some(used) = &used {
            // Who has it removes the environment.
            used.try_lock_shared().ok()?;
            let _ = used.set_modified(SystemTime::now());
        }
        // The folder has a short form of the digest.
        let lock = read_lock(&folder).filter(|lock| lock.digest == *digest)?;
        if content::mark(&folder.join(ENV)) != lock.mark {
            return None;
        }
        Some(Ready { bin: bin(&folder), lock, _used: used.map(Arc::new) })
    }

    /// Takes the right to build an environment: the same environment is built once, however many ask for it. `None` while
    /// another process builds or removes it. The right ends when the file is dropped, however this process ends.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn try_reserve(&self, digest: &Digest) -> io::Result<Option<File>> {
        try_lock(self.lock_file(digest, LOCK)?)
    }

    fn lock_file(&self, digest: &Digest, end: &str) -> io::Result<File> {
        fs::create_dir_all(&self.root).map_err(|error| crate::fs::at(&self.root, &error))?;
        let path = self.root.join(format!("{}.{end}", digest.short()));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.map_err(|error| crate::fs::at(&path, &error))
    }

    /// Removes what an earlier build left, and makes an empty folder for an environment. The caller has reserved it.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceBusy`](io::ErrorKind::ResourceBusy) when another run uses an environment whose packages were
    /// changed; otherwise when that is not possible.
    pub fn begin(&self, digest: &Digest) -> io::Result<PathBuf> {
        let folder = self.folder(digest);
        if folder.join(READY).exists() && try_lock(self.lock_file(digest, USE)?)?.is_none() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        remove(&folder)?;
        // The log and the requirements may have addresses with passwords.
        let made =
            fs::create_dir_all(&folder).and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o700)));
        made.map_err(|error| crate::fs::at(&folder, &error))?;
        Ok(folder)
    }

    /// Declares a built environment ready. The caller has reserved it.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn finish(&self, digest: &Digest, mut lock: Lock) -> io::Result<Ready> {
        let folder = self.folder(digest);
        lock.mark = content::mark(&folder.join(ENV));
        let text = serde_json::to_vec_pretty(&lock).unwrap_or_default();
        atomic::write(&folder.join(READY), text, Durability::Synced)?;
        self.ready(digest).ok_or_else(|| io::Error::other(format!("{} disappeared", folder.display())))
    }

    /// All environments, those whose build was not finished included, by their names.
    #[must_use]
    pub fn list(&self) -> Vec<Stored> {
        let folders = fs::read_dir(&self.root).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<Stored> = folders.filter(|path| path.is_dir()).map(Stored::at).collect();
        let name = |stored: &Stored| stored.lock.as_ref().map(|lock| lock.name.clone());
        found.sort_by_key(|stored| (name(stored).is_none(), name(stored), stored.folder.clone()));
        found
    }
}

impl Stored {
    fn at(folder: PathBuf) -> Self {
        let used = fs::metadata(folder.with_extension(USE)).and_then(|about| about.modified()).ok();
        Self { lock: read_lock(&folder), used, folder }
    }

    /// The same as it is now.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::at(self.folder.clone())
    }

    /// Takes the right to remove it. `None` while it is used or built; the right ends with the value.
    ///
    /// # Errors
    /// When the lock files cannot be opened.
    pub fn take(&self) -> io::Result<Option<(File, File)>> {
        let open = |end: &str| OpenOptions::new().create(true).append(true).open(self.folder.with_extension(end));
        let Some(reserved) = try_lock(open(LOCK)?)? else { return Ok(None) };
        Ok(try_lock(open(USE)?)?.map(|unused| (reserved, unused)))
    }
}

/// Removes the folder of an environment that the caller has taken.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(folder: &Path) -> io::Result<()> {
    // Without this file it is not ready, however far the rest gets.
    let _ = fs::remove_file(folder.join(READY));
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(crate::fs::at(folder, &error)),
        _ => Ok(()),
    }
}

fn try_lock(file: File) -> io::Result<Option<File>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

const READY: &str = "ready.json";
const ENV: &str = "env";
const LOCK: &str = "lock";
const USE: &str = "use";

fn bin(folder: &Path) -> PathBuf {
    folder.join(ENV).join("bin")
}

fn read_lock(folder: &Path) -> Option<Lock> {
    let lock: Lock = serde_json::from_slice(&fs::read(folder.join(READY)).ok()?).ok()?;
    // The Python that it was made with may be gone. An environment for R has none.
    let has_python = lock.python.is_empty() || bin(folder).join("python").exists();
    (bin(folder).is_dir() && has_python).then_some(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(digest: &Digest) -> Lock {
        let nothing = Digest::of(b"");
        Lock {
            name: "tools".to_owned(),
            source: "conda file".to_owned(),
            python: "3.11.4".to_owned(),
            packages: BTreeMap::new(),
            digest: digest.clone(),
            mark: nothing,
            built: Timestamp::now(),
        }
    }

    fn built(store: &Store, digest: &Digest) -> Ready {
        let _reserved = store.try_reserve(digest).unwrap();
        let folder = store.begin(digest).unwrap();
        fs::create_dir_all(folder.join("env/bin")).unwrap();
        fs::write(folder.join("env/bin/python"), "").unwrap();
        fs::create_dir_all(folder.join("env/lib/python3.11/site-packages/a-1.dist-info")).unwrap();
        store.finish(digest, lock(digest)).unwrap()
    }

    #[test]
    fn an_environment_counts_when_it_is_finished_and_as_long_as_its_packages_are_the_same() {
        let root = tempfile::tempdir().unwrap();
        let (store, digest) = (Store::at(root.path().to_owned()), Digest::of(b"x"));
        let folder = store.begin(&digest).unwrap();
        fs::create_dir_all(folder.join("env/bin")).unwrap();
        assert!(store.ready(&digest).is_none(), "its build was killed");
        drop(built(&store, &digest));
        assert_eq!(store.ready(&digest).unwrap().lock.name, "tools");
        fs::create_dir(folder.join("env/lib/python3.11/site-packages/b-1.dist-info")).unwrap();
        assert!(store.ready(&digest).is_none(), "somebody installed something");
        drop(built(&store, &digest));
        fs::remove_file(folder.join("env/bin/python")).unwrap();
        assert!(store.ready(&digest).is_none(), "its Python is gone");
    }

    #[test]
    fn an_environment_in_use_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let (store, digest) = (Store::at(root.path().to_owned()), Digest::of(b"x"));
        let ready = built(&store, &digest);
        let stored = store.list().remove(0);
        assert!(stored.take().unwrap().is_none());
        assert_eq!(store.begin(&digest).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(ready);
        let taken = stored.take().unwrap();
        assert!(taken.is_some() && store.try_reserve(&digest).unwrap().is_none(), "nobody builds it meanwhile");
        remove(&stored.folder).unwrap();
        assert!(store.list().is_empty());
    }
}
