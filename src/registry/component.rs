//! Registered components. [`copies`](super::copies) stores them: for each version a frozen copy of the component file and
//! of everything that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::copies::{Copies, CopyError, New, Registered, Version};
use super::footprint::Footprint;
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::language::RegisteredComponents;

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

impl Version for ComponentVersion {
    const KIND: &'static str = "component";

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

    fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest && self.file == other.file && self.pins == other.pins
    }
}

/// The registered components of a workspace.
pub type ComponentStore = Copies<ComponentVersion>;

impl ComponentStore {
    /// Stores a copy of a component as a new version.
    ///
    /// # Errors
    /// As [`Copies::register`].
    pub fn add(&self, new: &NewComponent, footprint: &Footprint) -> Result<Registered<ComponentVersion>, CopyError> {
        let file = New { name: &new.name, version: new.version.as_deref(), file: &new.file, text: new.text.as_deref() };
        self.register(file, footprint, |copied| ComponentVersion {
            name: new.name.clone(),
            version: String::new(),
            display_name: new.display_name.clone(),
            description: new.description.clone(),
            kind: new.kind.clone(),
            digest: copied.digest,
            created: Timestamp::now(),
            file: copied.file,
            pins: self.pins(footprint),
        })
    }

    fn pins(&self, footprint: &Footprint) -> BTreeMap<String, String> {
        let floating = footprint.references.iter().filter(|reference| !reference.contains(':'));
        floating.filter_map(|reference| Some((reference.clone(), self.named(reference).ok()?.version))).collect()
    }
}

impl RegisteredComponents for ComponentStore {
    fn file(&self, reference: &str, from: &Path) -> Option<PathBuf> {
        let pinned = self.owner(from).and_then(|owner| {
            let version = owner.pins.get(reference)?;
            self.read(reference.split('@').next()?, version)
        });
        pinned.or_else(|| self.named(reference).ok()).map(|record| self.file_of(&record))
    }
}
