//! Registered components: for each version a frozen copy of the component file and of everything that it names.
//!
//! ```text
//! components/v1/<name>/<version>/
//!   component.json          the record
//!   files/…                 the copy, with the folders of the originals below their innermost common folder
//! ```
//!
//! A version appears by one rename, completely or not at all, and never changes. Relative paths in the files stay
//! valid, so nothing has to be rewritten.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Selector;
use super::asset::{check_name, check_version};
use super::error::RegistryError;
use super::footprint::Footprint;
use crate::clock::Timestamp;
use crate::diagnostic::suggest;
use crate::digest::Digest;
use crate::fs::atomic::{PARTIAL, Temporary};
use crate::language::{RegisteredComponents, tidy};
use crate::store::tree;
use crate::store::{StoreError, at};

const RECORD: &str = "component.json";
const FILES: &str = "files";

/// The record of one version of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentVersion {
    /// The component's name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Its display name.
    pub display_name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// `command` or `pipeline`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digest of all its files.
    pub digest: Digest,
    /// When it was registered.
    pub created: Timestamp,
    /// The component file, relative to the version's folder.
    pub file: String,
    /// The versions of the registered components that it names without a version, as they were at registration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, String>,
}

/// A component file's own fields, and the options of the user.
#[derive(Clone, Debug)]
pub struct NewComponent {
    /// The name.
    pub name: String,
    /// The version; `None` for the next whole number.
    pub version: Option<String>,
    /// Its display name.
    pub display_name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// `command` or `pipeline`.
    pub kind: String,
    /// The component file.
    pub file: PathBuf,
    /// Its text, if the copy must differ from the file.
    pub text: Option<String>,
}

/// The result of a registration.
#[derive(Debug)]
pub enum Registered {
    /// A new version.
    New(ComponentVersion),
    /// The version already exists with the same content.
    Same(ComponentVersion),
}

/// Why a component was not registered or found.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// An error of the file system.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An invalid name or version.
    #[error(transparent)]
    Rule(#[from] RegistryError),
    /// The version exists with other content.
    #[error("the component '{0}' is already registered with different content, and versions cannot be changed")]
    Exists(String),
    /// A file that cannot be copied.
    #[error("'{0}' is an absolute path, which cannot be copied with the component")]
    Absolute(String),
    /// The component, or this version of it, does not exist.
    #[error("the component '{id}' is not registered in this workspace{hint}")]
    Unknown {
        /// The reference.
        id: String,
        /// Existing versions or names, as the end of the sentence.
        hint: String,
    },
}

type Result<T> = std::result::Result<T, ComponentError>;

/// The registered components of a workspace.
#[derive(Clone, Debug)]
pub struct ComponentStore {
    root: PathBuf,
}

impl ComponentStore {
    /// The components in a folder, which does not have to exist yet.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Stores a copy of a component as a new version.
    ///
    /// # Errors
    /// When the version exists with other content, something cannot be copied, or the disk is full.
    pub fn register(&self, new: &NewComponent, footprint: &Footprint) -> Result<Registered> {
        check_name(&new.name)?;
        if let Some(version) = &new.version {
            check_version(version)?;
        }
        if let Some(path) = footprint.absolute.first() {
            return Err(ComponentError::Absolute(path.clone()));
        }
        let family = self.root.join(&new.name);
        fs::create_dir_all(&family).map_err(at("create the folder", &family))?;
        let building = Temporary::beside(&family.join("new"));
        let registered = self.build(new, footprint, &building);
        if !matches!(registered, Ok(Registered::New(_))) {
            drop(building);
            let _ = fs::remove_dir(&family);
        }
        registered
    }

    fn build(&self, new: &NewComponent, footprint: &Footprint, copy: &Temporary) -> Result<Registered> {
        let building = copy.path();
        let files = building.join(FILES);
        let (root, own) = (footprint.root(), tidy(&new.file));
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
            match &new.text {
                Some(text) if *file == own => fs::write(&target, text).map_err(at("write", &target))?,
                _ => fs::copy(file, &target).map(drop).map_err(at("copy", file))?,
            }
        }
        let file = below(&own);
        let sealed = tree::make_read_only(&files).and_then(|()| Digest::of_tree(&files).map_err(tree::TreeError::Walk));
        let digest = sealed.map_err(|error| at("seal", &files)(std::io::Error::other(error)))?;
        let mut record = ComponentVersion {
            name: new.name.clone(),
            version: String::new(),
            display_name: new.display_name.clone(),
            description: new.description.clone(),
            kind: new.kind.clone(),
            digest,
            created: Timestamp::now(),
            file: file.strip_prefix(building).unwrap_or(&file).to_string_lossy().into_owned(),
            pins: self.pins(footprint),
        };
        loop {
            record.version = new.version.clone().unwrap_or_else(|| self.next_version(&new.name));
            let text = serde_json::to_string_pretty(&record).unwrap_or_default();
            let path = building.join(RECORD);
            fs::write(&path, text + "\n").map_err(at("write", &path))?;
            let target = self.root.join(&record.name).join(&record.version);
            match copy.place_at(&target) {
                Ok(()) => return Ok(Registered::New(record)),
                Err(_) if target.is_dir() && new.version.is_none() => {}
                Err(_) if target.is_dir() => return self.again(&record),
                Err(error) => return Err(at("create the folder", &target)(error).into()),
            }
        }
    }

    /// Registers an existing version again: an error if the content differs.
    fn again(&self, new: &ComponentVersion) -> Result<Registered> {
        let old = self.read(&new.name, &new.version).ok_or_else(|| self.unknown(&new.name, Some(&new.version)))?;
        let same = old.digest == new.digest && old.file == new.file && old.pins == new.pins;
        if same {
            Ok(Registered::Same(old))
        } else {
            Err(ComponentError::Exists(format!("{}:{}", old.name, old.version)))
        }
    }

    fn pins(&self, footprint: &Footprint) -> BTreeMap<String, String> {
        let floating = footprint.references.iter().filter(|reference| !reference.contains(':'));
        floating.filter_map(|reference| Some((reference.clone(), self.named(reference)?.version))).collect()
    }

    /// One version of a component.
    ///
    /// # Errors
    /// [`ComponentError::Unknown`], with the existing versions or names.
    pub fn get(&self, name: &str, selector: &Selector) -> Result<ComponentVersion> {
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

    /// The versions of a component, newest first; without a name, the newest version of each component.
    #[must_use]
    pub fn list(&self, name: Option<&str>) -> Vec<ComponentVersion> {
        match name {
            Some(name) => self.versions(name),
            None => self.names().iter().filter_map(|name| self.newest(name)).collect(),
        }
    }

    /// The component file of a version.
    #[must_use]
    pub fn file_of(&self, record: &ComponentVersion) -> PathBuf {
        self.root.join(&record.name).join(&record.version).join(&record.file)
    }

    fn newest(&self, name: &str) -> Option<ComponentVersion> {
        self.versions(name).into_iter().next()
    }

    fn versions(&self, name: &str) -> Vec<ComponentVersion> {
        let mut all: Vec<_> = names_in(&self.root.join(name)).iter().filter_map(|v| self.read(name, v)).collect();
        let number = |record: &ComponentVersion| record.version.parse::<u64>().ok();
        all.sort_by(|a, b| (b.created, number(b), &b.version).cmp(&(a.created, number(a), &a.version)));
        all
    }

    fn next_version(&self, name: &str) -> String {
        let numbers = names_in(&self.root.join(name)).into_iter().filter_map(|version| version.parse::<u64>().ok());
        numbers.max().map_or(1, |last| last.saturating_add(1)).to_string()
    }

    fn names(&self) -> Vec<String> {
        names_in(&self.root)
    }

    fn read(&self, name: &str, version: &str) -> Option<ComponentVersion> {
        check_name(name).and_then(|()| check_version(version)).ok()?;
        let text = fs::read(self.root.join(name).join(version).join(RECORD)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The version that a reference means now.
    fn named(&self, reference: &str) -> Option<ComponentVersion> {
        let (name, selector) = match (reference.split_once(':'), reference.split_once('@')) {
            (Some((name, version)), _) => (name, Selector::Version(version.to_owned())),
            (None, Some((name, "latest"))) => (name, Selector::Latest),
            (None, Some((name, label))) => (name, Selector::Label(label.to_owned())),
            (None, None) => (reference, Selector::Latest),
        };
        self.get(name, &selector).ok()
    }

    fn unknown(&self, name: &str, version: Option<&str>) -> ComponentError {
        let versions = self.versions(name);
        let names = self.names();
        let near = || suggest::nearest(name, names.iter().map(String::as_str));
        let hint = match near() {
            _ if !versions.is_empty() => {
                let known: Vec<&str> = versions.iter().take(10).map(|v| v.version.as_str()).collect();
                format!("; use one of the versions {}", known.join(", "))
            }
            Some(near) => format!("; did you mean '{near}'?"),
            None => String::new(),
        };
        let id = version.map_or_else(|| name.to_owned(), |version| format!("{name}:{version}"));
        ComponentError::Unknown { id, hint }
    }
}

impl RegisteredComponents for ComponentStore {
    fn file(&self, reference: &str, from: &Path) -> Option<PathBuf> {
        let owner = from.strip_prefix(&self.root).ok().and_then(|inside| {
            let mut parts = inside.iter().map(|part| part.to_str());
            self.read(parts.next()??, parts.next()??)
        });
        let pinned = owner.and_then(|owner| {
            let version = owner.pins.get(reference)?;
            self.read(reference.split('@').next()?, version)
        });
        pinned.or_else(|| self.named(reference)).map(|record| self.file_of(&record))
    }
}

/// The names of the folders in a folder, sorted, without unfinished ones.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with(PARTIAL)).collect();
    names.sort();
    names
}
