//! Registered environments. [`copies`](super::copies) stores them: for each version a frozen copy of the environment file,
//! and of the conda file or the build context that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Selector;
use super::copies::{Copies, CopyError, New, Registered, Version};
use super::footprint::Footprint;
use crate::clock::Timestamp;
use crate::digest::Digest;

/// The record of one version of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVersion {
    /// Its name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Its description.
    pub description: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The image that it names.
    pub image: Option<String>,
    /// The digest of all its files.
    pub digest: Digest,
    /// When it was registered.
    pub created: Timestamp,
    /// The environment file, relative to the version's folder.
    pub file: String,
    /// Whether it is hidden from lists and from `@latest`.
    #[serde(default)]
    pub archived: bool,
}

impl Version for EnvironmentVersion {
    const KIND: &'static str = "environment";

    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn set_version(&mut self, version: String) {
        self.version = version;
    }

    fn created(&self) -> Timestamp {
        self.created
    }

    fn file(&self) -> &str {
        &self.file
    }

    fn is_archived(&self) -> bool {
        self.archived
    }

    fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest && self.file == other.file
    }
}

/// An environment file's own fields, and the options of the user.
#[derive(Clone, Debug, Default)]
pub struct NewEnvironment {
    /// The name.
    pub name: String,
    /// The version; `None` for the next whole number.
    pub version: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The image that it names.
    pub image: Option<String>,
    /// The environment file.
    pub file: PathBuf,
    /// Its text, if the copy must differ from the file.
    pub text: Option<String>,
}

/// The registered environments of a workspace.
pub type EnvironmentStore = Copies<EnvironmentVersion>;

impl EnvironmentStore {
    /// Stores a copy of an environment as a new version.
    ///
    /// # Errors
    /// As [`Copies::register`].
    pub fn add(
        &self,
        new: &NewEnvironment,
        footprint: &Footprint,
    ) -> Result<Registered<EnvironmentVersion>, CopyError> {
        let file = New { name: &new.name, version: new.version.as_deref(), file: &new.file, text: new.text.as_deref() };
        self.register(file, footprint, |copied| EnvironmentVersion {
            name: new.name.clone(),
            version: String::new(),
            description: new.description.clone(),
            tags: new.tags.clone(),
            image: new.image.clone(),
            digest: copied.digest,
            created: Timestamp::now(),
            file: copied.file,
            archived: false,
        })
    }

    /// Hides a version from lists and from `@latest`, or shows it again; without a version, all versions of the name.
    ///
    /// # Errors
    /// [`CopyError::Unknown`], or when a record cannot be written.
    pub fn archive(&self, name: &str, version: Option<&str>, archived: bool) -> Result<(), CopyError> {
        let versions = match version {
            Some(version) => vec![self.get(name, &Selector::Version(version.to_owned()))?],
            None => self.list(Some(name)),
        };
        if versions.is_empty() {
            return self.get(name, &Selector::Latest).map(drop);
        }
        versions.into_iter().try_for_each(|version| self.rewrite(&EnvironmentVersion { archived, ..version }))
    }

    /// The environment file that a reference means, such as `my-env:1`, `my-env@latest`. `None` if there is none.
    #[must_use]
    pub fn find(&self, reference: &str) -> Option<PathBuf> {
        self.named(reference).ok().map(|record| self.file_of(&record))
    }

    /// The environments in a folder, if it exists.
    #[must_use]
    pub fn existing(root: &Path) -> Option<Self> {
        root.is_dir().then(|| Self::at(root.to_owned()))
    }
}
