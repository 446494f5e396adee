//! Stores the definitions of a workspace's datastores, one JSON file for each.
//!
//! ```text
//! datastores/<name>.json       the definition; a folder <name> beside it replaces a datastore by itself
//! ```
//!
//! A definition appears and changes by one rename. This module does not know the names in `amlrun.toml` or the
//! credentials of a datastore.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::datastore::{Datastore, DatastoreError, check_name};
use crate::diagnostic::suggest;
use crate::fs::atomic::{self, Durability};
use crate::store::at;

type Result<T, E = DatastoreError> = std::result::Result<T, E>;

/// The definitions of a workspace.
#[derive(Clone, Debug)]
pub struct DatastoreStore {
    root: PathBuf,
}

impl DatastoreStore {
    /// The definitions in a folder, which does not have to exist yet.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Stores a definition, and replaces an existing one of the same name.
    ///
    /// # Errors
    /// An invalid field, or an error of the file system.
    pub fn put(&self, datastore: &Datastore) -> Result<()> {
        datastore.check()?;
        fs::create_dir_all(&self.root).map_err(at("create the folder", &self.root))?;
        let path = self.file(&datastore.name);
        let text = serde_json::to_string_pretty(datastore).unwrap_or_default() + "\n";
        Ok(atomic::write(&path, text, Durability::Synced).map_err(at("write", &path))?)
    }

    /// The definition with that name, if it exists.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<Datastore>> {
        // No datastore has an invalid name, and it must not become a path.
        if check_name(name).is_err() {
            return Ok(None);
        }
        let path = self.file(name);
        match fs::read(&path) {
            Ok(text) => read(&text, &path).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at("read", &path)(e).into()),
        }
    }

    /// The definition with that name.
    ///
    /// # Errors
    /// [`DatastoreError::Unknown`] with a similar name, or a file that cannot be read.
    pub fn get(&self, name: &str) -> Result<Datastore> {
        self.find(name)?.ok_or_else(|| self.unknown(name))
    }

    /// All definitions, by name.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn list(&self) -> Result<Vec<Datastore>> {
        self.names().iter().filter_map(|name| self.find(name).transpose()).collect()
    }

    /// The names of all definitions, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
        let mut names: Vec<String> = names.filter(|name| check_name(name).is_ok()).collect();
        names.sort();
        names
    }

    /// Removes a definition. The data in the storage stays.
    ///
    /// # Errors
    /// [`DatastoreError::Unknown`], or an error of the file system.
    pub fn remove(&self, name: &str) -> Result<()> {
        check_name(name).map_err(|_| self.unknown(name))?;
        let path = self.file(name);
        fs::remove_file(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => self.unknown(name),
            _ => at("remove", &path)(e).into(),
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.json"))
    }

    fn unknown(&self, name: &str) -> DatastoreError {
        let names = self.names();
        let near = suggest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
        DatastoreError::Unknown { name: name.to_owned(), near }
    }
}

fn read(text: &[u8], path: &Path) -> Result<Datastore> {
    let record = serde_json::from_slice::<Value>(text).ok();
    let named = |d: &Datastore| path.file_stem().is_some_and(|stem| *stem == *d.name);
    record
        .and_then(|record| Datastore::read(&record))
        .filter(named)
        .ok_or_else(|| DatastoreError::Damaged(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::datastore::{CredentialKind, DatastoreKind};
    use super::*;

    #[test]
    fn every_kind_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = DatastoreStore::at(folder.path().join("datastores"));
        for (word, kind) in DatastoreKind::NAMES {
            let mut one = Datastore::new(word, kind, "account", "box");
            if kind == DatastoreKind::AzureDataLakeGen1 {
                one.container_name.clear();
            }
            one.credential = CredentialKind::Sas;
            one.tags.insert("a".into(), "b".into());
            store.put(&one).unwrap();
            assert_eq!(store.get(word).unwrap(), one);
            assert_eq!(serde_json::to_value(&one).unwrap()["type"], word);
            assert_eq!(kind.as_str(), word);
        }
        assert_eq!(store.list().unwrap().len(), 5);
        store.remove("azure_file").unwrap();
        let error = store.remove("azure_fiel").unwrap_err().to_string();
        assert!(error.contains("the datastore 'azure_fiel' was not found"), "{error}");
        assert!(store.get("azure_blobb").unwrap_err().to_string().contains("did you mean 'azure_blob'?"));
    }

    #[test]
    fn nothing_leaves_the_folder_and_nothing_foreign_becomes_part_of_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let store = DatastoreStore::at(folder.path().join("a"));
        for bad in ["", "..", "../x", "a/b", "a-b", "a.b", "ä", &"x".repeat(256)] {
            assert!(store.put(&Datastore::new(bad, DatastoreKind::AzureBlob, "a", "b")).is_err(), "{bad:?}");
            assert_eq!(store.find(bad).unwrap(), None);
            assert!(matches!(store.remove(bad), Err(DatastoreError::Unknown { .. })));
        }
        let change = |change: &dyn Fn(&mut Datastore)| {
            let mut one = Datastore::new("d", DatastoreKind::AzureBlob, "acc", "box");
            change(&mut one);
            store.put(&one).unwrap_err().to_string()
        };
        assert!(change(&|d| d.protocol = "ftp".into()).contains("https or http"));
        assert!(change(&|d| d.endpoint = "https://x".into()).contains("is not a host name"));
        assert!(change(&|d| d.account_name = "a.evil/".into()).contains("account_name"));
        assert!(change(&|d| d.container_name = "a/b".into()).contains("container_name"));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = DatastoreStore::at(folder.path().to_owned());
        fs::write(folder.path().join("d.json"), "{").unwrap();
        assert!(store.get("d").unwrap_err().to_string().contains("d.json"));
    }
}
