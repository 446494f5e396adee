//! The secrets of datastores, outside every workspace: a folder that is copied, committed or shared contains none.
//!
//! There is one file for each user, which only that user may read: `$AMLRUN_CREDENTIALS`, otherwise
//! `$XDG_CONFIG_HOME/amlrun/credentials.json`, otherwise `~/.config/amlrun/credentials.json`. It is replaced as a
//! whole, by one process at a time, so that concurrent writes do not get lost:
//!
//! ```json
//! { "version": 1, "workspaces": { "/home/me/project/.amlrun": { "mine": { "account_key": "…" } } } }
//! ```
//!
//! This module does not know what a secret is for, and never shows one in a message.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::fs::atomic::{self, Durability};
use crate::secret::{Credential, Secret};
use crate::store::{StoreError, at};

const VERSION: u64 = 1;

/// Why a secret was not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The location of the file is unknown.
    #[error("credentials cannot be stored: neither AMLRUN_CREDENTIALS nor HOME is set")]
    Nowhere,
    /// The file would be in a workspace.
    #[error("{}: credentials cannot be stored in a workspace: set AMLRUN_CREDENTIALS to another file", .0.display())]
    Inside(PathBuf),
    /// Other users may read the file.
    #[error("{path}: other users can read this file, which has credentials: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    /// The content of the file is not valid.
    #[error("{}: not a valid credentials file: remove it, and create the datastores again", .0.display())]
    Damaged(PathBuf),
    /// A newer amlrun wrote the file.
    #[error("{}: written by a newer version of amlrun; nothing was changed", .0.display())]
    Newer(PathBuf),
    /// An error of the file system.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, CredentialsError>;

/// The file of credentials. It is read only when needed.
#[derive(Clone, Debug)]
pub struct Credentials {
    path: PathBuf,
}

impl Credentials {
    /// The credentials in a file, which does not have to exist yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The credentials of the current user.
    ///
    /// # Errors
    /// [`CredentialsError::Nowhere`].
    pub fn of_user() -> Result<Self> {
        Self::place(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn place(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        if let Some(path) = variable("AMLRUN_CREDENTIALS") {
            return Ok(Self { path: std::path::absolute(&path).unwrap_or_else(|_| path.into()) });
        }
        // The standard says to ignore a relative path there.
        let config = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let config = config.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
        config.map(|folder| Self { path: folder.join("amlrun/credentials.json") }).ok_or(CredentialsError::Nowhere)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The credential for a datastore of a workspace, if one is stored.
    ///
    /// # Errors
    /// When other users may read the file, or it cannot be read.
    pub fn get(&self, workspace: &Path, datastore: &str) -> Result<Option<Credential>> {
        let all = self.read(&self.path)?;
        let Some(kept) = all["workspaces"].get(key(workspace)).and_then(|w| w.get(datastore)) else { return Ok(None) };
        let secret = |field: &str| kept.get(field)?.as_str().map(Secret::new);
        let found =
            secret("account_key").map(Credential::AccountKey).or_else(|| secret("sas_token").map(Credential::Sas));
        found.map(Some).ok_or_else(|| CredentialsError::Damaged(self.path.clone()))
    }

    /// Stores the credential for a datastore, and replaces an existing one. [`Credential::Identity`] stores nothing.
    ///
    /// # Errors
    /// When other users may read the file, or on an error of the file system.
    pub fn put(&self, workspace: &Path, datastore: &str, credential: &Credential) -> Result<()> {
        let kept = match credential {
            Credential::AccountKey(key) => json!({ "account_key": key.reveal() }),
            Credential::Sas(token) => json!({ "sas_token": token.reveal() }),
            Credential::Identity => return self.remove(workspace, datastore).map(drop),
        };
        let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_default();
        // The file may not exist yet, so the nearest existing folder is checked.
        let folder = self.path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(&self.path);
        if real(folder).starts_with(real(workspace)) || self.path.starts_with(workspace) {
            return Err(CredentialsError::Inside(self.path.clone()));
        }
        self.change(|workspaces| {
            let of_it = workspaces.entry(key(workspace)).or_insert_with(|| Value::Object(Map::new()));
            if let Some(of_it) = of_it.as_object_mut() {
                of_it.insert(datastore.to_owned(), kept);
            }
            true
        })
        .map(drop)
    }

    /// Removes the credential for a datastore. Returns whether there was one.
    ///
    /// # Errors
    /// As for [`Credentials::put`].
    pub fn remove(&self, workspace: &Path, datastore: &str) -> Result<bool> {
        if !self.path.exists() {
            return Ok(false);
        }
        self.change(|workspaces| {
            let key = key(workspace);
            let Some(of_it) = workspaces.get_mut(&key).and_then(Value::as_object_mut) else { return false };
            let removed = of_it.remove(datastore).is_some();
            if of_it.is_empty() {
                workspaces.remove(&key);
            }
            removed
        })
    }

    /// Replaces the file with a changed one, exclusively among all threads and processes. `change` returns whether
    /// there is anything to write.
    fn change(&self, change: impl FnOnce(&mut Map<String, Value>) -> bool) -> Result<bool> {
        // If the file is a link to another place, the link must stay.
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        if let Some(folder) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(at("create the folder", folder))?;
        }
        let beside = |ending: &str| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.with_file_name(format!(".{name}{ending}"))
        };
        // The lock is a separate file, because the other one is replaced. It is released when it is closed.
        let lock = beside(".lock");
        let held = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let held = held.and_then(|file| file.lock().map(|()| file)).map_err(at("lock", &lock))?;
        let mut all = self.read(&path)?;
        let Some(workspaces) = all["workspaces"].as_object_mut() else {
            return Err(CredentialsError::Damaged(path));
        };
        let changed = change(workspaces);
        if changed {
            let text = format!("{all:#}\n");
            atomic::write_private(&path, text, Durability::Synced).map_err(at("write", &path))?;
        }
        drop(held);
        Ok(changed)
    }

    fn read(&self, path: &Path) -> Result<Value> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(json!({ "version": VERSION, "workspaces": {} }));
            }
            Err(e) => return Err(at("read", path)(e).into()),
        };
        let metadata = file.metadata().map_err(at("read", path))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(CredentialsError::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(at("read", path))?;
        // The parser's message may quote the file, so it is not shown.
        let damaged = || CredentialsError::Damaged(path.to_owned());
        let all: Value = serde_json::from_str(&text).map_err(|_| damaged())?;
        match all.get("version").and_then(Value::as_u64) {
            Some(VERSION) if all.get("workspaces").is_some_and(Value::is_object) => Ok(all),
            Some(version) if version > VERSION => Err(CredentialsError::Newer(path.to_owned())),
            _ => Err(damaged()),
        }
    }
}

/// The canonical name of a workspace, however it was reached.
fn key(workspace: &Path) -> String {
    let folder = workspace.canonicalize().or_else(|_| std::path::absolute(workspace));
    let folder = folder.unwrap_or_else(|_| workspace.to_owned());
    // Two folders whose names are not UTF-8 must not get the same key.
    folder.to_str().map_or_else(|| format!("{folder:?}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn sas(text: &str) -> Credential {
        Credential::Sas(Secret::new(text))
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn the_place_follows_the_standard() {
        let place = |variables: &[(&str, &str)]| {
            let found = Credentials::place(|n| variables.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).into()));
            found.ok().map(|c| c.path.display().to_string())
        };
        let all = [("AMLRUN_CREDENTIALS", "/c.json"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(place(&all).as_deref(), Some("/c.json"));
        assert_eq!(place(&all[1..]).as_deref(), Some("/x/amlrun/credentials.json"));
        assert_eq!(place(&all[2..]).as_deref(), Some("/h/.config/amlrun/credentials.json"));
        let relative = [("XDG_CONFIG_HOME", "x"), ("HOME", "/h")];
        assert_eq!(place(&relative).as_deref(), Some("/h/.config/amlrun/credentials.json"));
        assert_eq!(place(&[]), None);
    }

    #[test]
    fn what_is_kept_is_for_one_workspace_and_one_person() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::create_dir(&one).unwrap();
        let credentials = Credentials::at(folder.path().join("config/amlrun/credentials.json"));
        assert_eq!(credentials.get(&one, "d").unwrap(), None);
        assert!(!credentials.remove(&one, "d").unwrap() && !credentials.path.parent().unwrap().exists());
        let key = Credential::AccountKey(Secret::new("k=="));
        credentials.put(&one, "d", &key).unwrap();
        credentials.put(&two, "d", &sas("sig=s")).unwrap();
        assert_eq!(credentials.get(&one.join("../one"), "d").unwrap(), Some(key));
        assert_eq!(credentials.get(&two, "d").unwrap(), Some(sas("sig=s")));
        assert_eq!((mode(&credentials.path), mode(credentials.path.parent().unwrap())), (0o600, 0o700));
        credentials.put(&one, "d", &Credential::Identity).unwrap();
        assert_eq!(credentials.get(&one, "d").unwrap(), None);
        assert!(credentials.remove(&two, "d").unwrap());
        assert!(!fs::read_to_string(&credentials.path).unwrap().contains("two"));
    }

    #[test]
    fn a_file_that_others_may_read_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::at(folder.path().join("c.json"));
        credentials.put(&folder.path().join("w"), "d", &sas("one")).unwrap();
        fs::set_permissions(&credentials.path, fs::Permissions::from_mode(0o640)).unwrap();
        for error in [
            credentials.get(&folder.path().join("w"), "d").unwrap_err(),
            credentials.put(&folder.path().join("w"), "d", &sas("two")).unwrap_err(),
        ] {
            assert!(error.to_string().contains("chmod 600 "), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_not_quoted_and_a_newer_one_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::at(folder.path().join("c.json"));
        for (text, word) in
            [("{\"workspaces\": topsecret", "not a valid credentials file"), ("{\"version\": 2}", "newer")]
        {
            fs::write(&credentials.path, text).unwrap();
            fs::set_permissions(&credentials.path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = credentials.put(&folder.path().join("w"), "d", &sas("x")).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("topsecret"), "{error}");
            assert_eq!(fs::read_to_string(&credentials.path).unwrap(), text);
        }
    }

    #[test]
    fn a_workspace_never_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("work");
        fs::create_dir(&workspace).unwrap();
        std::os::unix::fs::symlink(&workspace, folder.path().join("link")).unwrap();
        for inside in ["work/c.json", "work/new/c.json", "link/c.json"] {
            let refused = Credentials::at(folder.path().join(inside)).put(&workspace, "d", &sas("x")).unwrap_err();
            assert!(refused.to_string().contains("AMLRUN_CREDENTIALS"), "{refused}");
        }
        assert_eq!(fs::read_dir(&workspace).unwrap().count(), 0);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = Credentials::at(folder.path().join("real.json"));
        real.put(&folder.path().join("w"), "d", &sas("one")).unwrap();
        let link = Credentials::at(folder.path().join("link.json"));
        std::os::unix::fs::symlink(&real.path, &link.path).unwrap();
        link.put(&folder.path().join("w"), "d", &sas("two")).unwrap();
        assert!(link.path.is_symlink());
        assert_eq!(real.get(&folder.path().join("w"), "d").unwrap(), Some(sas("two")));
    }

    #[test]
    fn all_who_write_at_once_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (credentials, workspace) = (Credentials::at(folder.path().join("c/c.json")), folder.path().join("w"));
        std::thread::scope(|scope| {
            for n in 0..16 {
                let (credentials, folder) = (&credentials, &workspace);
                scope.spawn(move || credentials.put(folder, &format!("d{n}"), &sas(&n.to_string())).unwrap());
            }
        });
        for n in 0..16 {
            assert_eq!(credentials.get(&workspace, &format!("d{n}")).unwrap(), Some(sas(&n.to_string())));
        }
        assert_eq!(fs::read_dir(folder.path().join("c")).unwrap().count(), 2, "the file and its lock");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn any_secret_comes_back_as_it_was(text in "\\PC{1,40}", name in "[A-Za-z0-9_]{1,12}", key in proptest::bool::ANY) {
            let folder = tempfile::tempdir().unwrap();
            let credentials = Credentials::at(folder.path().join("c.json"));
            let credential = if key { Credential::AccountKey(Secret::new(text)) } else { sas(&text) };
            let workspace = folder.path().join("w");
            credentials.put(&workspace, &name, &credential).unwrap();
            proptest::prop_assert_eq!(credentials.get(&workspace, &name).unwrap(), Some(credential));
        }
    }
}
