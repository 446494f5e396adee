//! Registered files: for each version a frozen copy of a file and of everything that it names.
//!
//! ```text
//! <kind>/v1/<name>/<version>/
//!   <kind>.json             the record
//!   files/…                 the copy, with the folders of the originals below their innermost common folder
//! ```
//!
//! A version appears by one rename, completely or not at all, and its files never change. Relative paths in the files
//! stay valid, so nothing has to be rewritten.

use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Selector;
use super::asset::{check_name, check_version};
use super::error::RegistryError;
use super::footprint::Footprint;
use crate::clock::Timestamp;
use crate::diagnostic::suggest;
use crate::digest::Digest;
use crate::fs::atomic::{self, Durability, PARTIAL, Temporary};
use crate::language::tidy;
use crate::store::{StoreError, at, tree};

const FILES: &str = "files";

/// The record of a version.
pub trait Version: Clone + Serialize + DeserializeOwned {
    /// What it is the version of, such as `component`.
    const KIND: &'static str;

    /// The name.
    fn name(&self) -> &str;
    /// The version.
    fn version(&self) -> &str;
    /// Sets the version.
    fn set_version(&mut self, version: String);
    /// When it was registered.
    fn created(&self) -> Timestamp;
    /// The file, relative to the version's folder.
    fn file(&self) -> &str;
    /// Whether it is archived: then only its exact version means it.
    fn is_archived(&self) -> bool {
        false
    }
    /// Whether another record has the same content.
    fn is_same(&self, other: &Self) -> bool;
}

/// What is to be registered.
#[derive(Clone, Copy, Debug)]
pub struct New<'n> {
    /// The name.
    pub name: &'n str,
    /// The version; `None` for the next whole number.
    pub version: Option<&'n str>,
    /// The file.
    pub file: &'n Path,
    /// Its text, if the copy must differ from the file.
    pub text: Option<&'n str>,
}

/// The copy of a file, before its record is written.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The digest of all files.
    pub digest: Digest,
    /// The file, relative to the version's folder.
    pub file: String,
}

/// The result of a registration.
#[derive(Debug)]
pub enum Registered<V> {
    /// A new version.
    New(V),
    /// The version already exists with the same content.
    Same(V),
}

/// Why something was not registered or found.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// An error of the file system.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An invalid name or version.
    #[error(transparent)]
    Rule(#[from] RegistryError),
    /// The version exists with other content.
    #[error("the {kind} '{id}' is already registered with different content, and versions cannot be changed")]
    Exists {
        /// What it is.
        kind: &'static str,
        /// Its name and version.
        id: String,
    },
    /// A file that cannot be copied.
    #[error("'{path}' is an absolute path, which cannot be copied with the {kind}")]
    Absolute {
        /// What names it.
        kind: &'static str,
        /// The path.
        path: String,
    },
    /// The name, or this version of it, does not exist.
    #[error("the {kind} '{id}' is not registered in this workspace{hint}")]
    Unknown {
        /// What is not there.
        kind: &'static str,
        /// The reference.
        id: String,
        /// Existing versions or names, as the end of the sentence.
        hint: String,
    },
}

type Result<T> = std::result::Result<T, CopyError>;

/// All versions of one kind in a workspace.
#[derive(Clone, Debug)]
pub struct Copies<V> {
    root: PathBuf,
    records: PhantomData<V>,
}

impl<V: Version> Copies<V> {
    /// The versions in a folder, which does not have to exist yet.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root, records: PhantomData }
    }

    /// Stores a copy as a new version, with the record that `record` makes for it.
    ///
    /// # Errors
    /// When the version exists with other content, something cannot be copied, or the disk is full.
    pub fn register(
        &self,
        new: New<'_>,
        footprint: &Footprint,
        record: impl FnOnce(Copied) -> V,
    ) -> Result<Registered<V>> {
        check_name(new.name)?;
        if let Some(version) = new.version {
            check_version(version)?;
        }
        if let Some(path) = footprint.absolute.first() {
            return Err(CopyError::Absolute { kind: V::KIND, path: path.clone() });
        }
        let family = self.root.join(new.name);
        fs::create_dir_all(&family).map_err(at("create the folder", &family))?;
        let building = Temporary::beside(&family.join("new"));
        let registered =
            copy(new, footprint, building.path()).and_then(|copied| self.place(record(copied), new.version, &building));
        if !matches!(registered, Ok(Registered::New(_))) {
            drop(building);
            let _ = fs::remove_dir(&family);
        }
        registered
    }

    fn place(&self, mut record: V, version: Option<&str>, copy: &Temporary) -> Result<Registered<V>> {
        loop {
            record.set_version(version.map_or_else(|| self.next_version(record.name()), str::to_owned));
            let path = copy.path().join(record_name::<V>());
            fs::write(&path, text(&record)).map_err(at("write", &path))?;
            let target = self.folder(&record);
            match copy.place_at(&target) {
                Ok(()) => return Ok(Registered::New(record)),
                Err(_) if target.is_dir() && version.is_none() => {}
                Err(_) if target.is_dir() => return self.again(&record),
                Err(error) => return Err(at("create the folder", &target)(error).into()),
            }
        }
    }

    /// Registers an existing version again: an error if the content differs.
    fn again(&self, new: &V) -> Result<Registered<V>> {
        let (name, version) = (new.name(), new.version());
        let old = self.read(name, version).ok_or_else(|| self.unknown(name, Some(version)))?;
        if old.is_same(new) {
            Ok(Registered::Same(old))
        } else {
            Err(CopyError::Exists { kind: V::KIND, id: format!("{name}:{version}") })
        }
    }

    /// Replaces the record of a version. Its files stay.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn rewrite(&self, record: &V) -> Result<()> {
        let path = self.folder(record).join(record_name::<V>());
        Ok(atomic::write(&path, text(record), Durability::Synced).map_err(at("write", &path))?)
    }

    /// One version.
    ///
    /// # Errors
    /// [`CopyError::Unknown`], with the existing versions or names.
    pub fn get(&self, name: &str, selector: &Selector) -> Result<V> {
        let found = match selector {
            Selector::Version(version) => self.read(name, version),
            Selector::Latest => self.newest(name),
            Selector::Label(_) => None,
        };
        found.ok_or_else(|| match selector {
            Selector::Version(version) => self.unknown(name, Some(version)),
            Selector::Label(label) => self.unknown(&format!("{name}@{label}"), None),
            Selector::Latest => self.unknown(name, None),
        })
    }

    /// The version that a reference means now: `name:version`, `name@latest`, or `name` for the latest.
    ///
    /// # Errors
    /// [`CopyError::Unknown`].
    pub fn named(&self, reference: &str) -> Result<V> {
        let (name, selector) = match (reference.split_once(':'), reference.split_once('@')) {
            (Some((name, version)), _) => (name, Selector::Version(version.to_owned())),
            (None, Some((name, "latest"))) => (name, Selector::Latest),
            (None, Some((name, label))) => (name, Selector::Label(label.to_owned())),
            (None, None) => (reference, Selector::Latest),
        };
        self.get(name, &selector)
    }

    /// The versions of a name, newest first, archived ones included; without a name, the newest version of each.
    #[must_use]
    pub fn list(&self, name: Option<&str>) -> Vec<V> {
        match name {
            Some(name) => self.versions(name),
            None => names_in(&self.root).iter().filter_map(|name| self.newest(name)).collect(),
        }
    }

    /// The folder of a version.
    #[must_use]
    pub fn folder(&self, record: &V) -> PathBuf {
        self.root.join(record.name()).join(record.version())
    }

    /// The file of a version.
    #[must_use]
    pub fn file_of(&self, record: &V) -> PathBuf {
        self.folder(record).join(record.file())
    }

    /// The version that a file belongs to, if it is the copy of one.
    pub(super) fn owner(&self, file: &Path) -> Option<V> {
        let mut parts = file.strip_prefix(&self.root).ok()?.iter().map(|part| part.to_str());
        self.read(parts.next()??, parts.next()??)
    }

    pub(super) fn read(&self, name: &str, version: &str) -> Option<V> {
        check_name(name).and_then(|()| check_version(version)).ok()?;
        let text = fs::read(self.root.join(name).join(version).join(record_name::<V>())).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn newest(&self, name: &str) -> Option<V> {
        self.versions(name).into_iter().find(|version| !version.is_archived())
    }

    fn versions(&self, name: &str) -> Vec<V> {
        let mut all: Vec<_> = names_in(&self.root.join(name)).iter().filter_map(|v| self.read(name, v)).collect();
        let number = |record: &V| record.version().parse::<u64>().ok();
        all.sort_by(|a, b| (b.created(), number(b), b.version()).cmp(&(a.created(), number(a), a.version())));
        all
    }

    fn next_version(&self, name: &str) -> String {
        let numbers = names_in(&self.root.join(name)).into_iter().filter_map(|version| version.parse::<u64>().ok());
        numbers.max().map_or(1, |last| last.saturating_add(1)).to_string()
    }

    fn unknown(&self, name: &str, version: Option<&str>) -> CopyError {
        let versions = self.versions(name);
        let names = names_in(&self.root);
        let near = || suggest::nearest(name, names.iter().map(String::as_str));
        let hint = match near() {
            _ if !versions.is_empty() => {
                let known: Vec<&str> = versions.iter().take(10).map(V::version).collect();
                format!("; use one of the versions {}", known.join(", "))
            }
            Some(near) => format!("; did you mean '{near}'?"),
            None => String::new(),
        };
        let id = version.map_or_else(|| name.to_owned(), |version| format!("{name}:{version}"));
        CopyError::Unknown { kind: V::KIND, id, hint }
    }
}

/// Copies everything into a folder.
fn copy(new: New<'_>, footprint: &Footprint, building: &Path) -> Result<Copied> {
    let files = building.join(FILES);
    let (root, own) = (footprint.root(), tidy(new.file));
    let below = |path: &Path| files.join(path.strip_prefix(&root).unwrap_or(path));
    fs::create_dir_all(&files).map_err(at("create the folder", &files))?;
    for folder in &footprint.folders {
        fs::create_dir_all(below(folder)).map_err(at("create the folder", folder))?;
    }
    for file in &footprint.files {
        let target = below(file);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(at("create the folder", folder))?;
        }
        match new.text {
            Some(text) if *file == own => fs::write(&target, text).map_err(at("write", &target))?,
            _ => fs::copy(file, &target).map(drop).map_err(at("copy", file))?,
        }
    }
    let file = below(&own);
    let sealed = tree::make_read_only(&files).and_then(|()| Digest::of_tree(&files).map_err(tree::TreeError::Walk));
    let digest = sealed.map_err(|error| at("seal", &files)(std::io::Error::other(error)))?;
    let file = file.strip_prefix(building).unwrap_or(&file).to_string_lossy().into_owned();
    Ok(Copied { digest, file })
}

fn record_name<V: Version>() -> String {
    format!("{}.json", V::KIND)
}

fn text<V: Version>(record: &V) -> String {
    serde_json::to_string_pretty(record).unwrap_or_default() + "\n"
}

/// The names of the folders in a folder, sorted, without unfinished ones.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with(PARTIAL)).collect();
    names.sort();
    names
}
