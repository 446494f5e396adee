//! Names with all their versions: asset containers in Azure ML, registered models in MLflow. They have their own
//! description and tags, and labels (MLflow: aliases) that refer to versions.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::Registry;
use super::asset::{Selector, check_label, check_name};
use super::error::{RegistryError, Result, Trouble};
use super::kind::AssetKind;
use super::rows::{AssetContainer, container, find, json, require_container, with_labels};
use crate::clock::Timestamp;

impl Registry {
    /// Creates a name without versions.
    ///
    /// # Errors
    /// [`RegistryError::Exists`] when the name exists, [`RegistryError::Invalid`] for an invalid name.
    pub fn create_container(
        &self,
        kind: AssetKind,
        name: &str,
        description: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<AssetContainer> {
        check_name(name)?;
        self.write(kind, name, |db| {
            let made = db.execute(
                "INSERT OR IGNORE INTO containers (kind, name, description, tags, created, updated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                params![kind.as_str(), name, description, json(tags), Timestamp::now().0],
            )?;
            if made == 0 {
                return Err(RegistryError::Exists { kind, id: name.to_owned() }.into());
            }
            require_container(db, kind, name)
        })
    }

    /// One name.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchName`].
    pub fn container(&self, kind: AssetKind, name: &str) -> Result<AssetContainer> {
        self.read(|db| require_container(db, kind, name))
    }

    /// All names, in alphabetical order.
    ///
    /// # Errors
    /// [`RegistryError::Database`].
    pub fn containers(&self, kind: AssetKind) -> Result<Vec<AssetContainer>> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT * FROM containers WHERE kind = ?1 ORDER BY name")?;
            let found = query.query_map([kind.as_str()], container)?.collect::<Result<Vec<_>, _>>()?;
            found.into_iter().map(|container| with_labels(db, kind, container)).collect()
        })
    }

    /// Replaces the description of a name.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchName`].
    pub fn describe_container(&self, kind: AssetKind, name: &str, description: &str) -> Result<AssetContainer> {
        self.change_container(kind, name, |container| description.clone_into(&mut container.description))
    }

    /// Sets a tag of a name, or removes it when `value` is `None`.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchName`].
    pub fn tag_container(&self, kind: AssetKind, name: &str, key: &str, value: Option<&str>) -> Result<AssetContainer> {
        self.change_container(kind, name, |container| match value {
            Some(value) => drop(container.tags.insert(key.to_owned(), value.to_owned())),
            None => drop(container.tags.remove(key)),
        })
    }

    /// Moves a label (MLflow: alias) to a version.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] for an invalid label; otherwise as for [`Registry::get`].
    pub fn set_label(&self, kind: AssetKind, name: &str, label: &str, version: &str) -> Result<()> {
        check_label(label)?;
        self.write(kind, name, |db| {
            find(db, kind, name, &Selector::Version(version.to_owned()))?;
            db.execute(
                "INSERT INTO labels (kind, name, label, version) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET version = excluded.version",
                [kind.as_str(), name, label, version],
            )?;
            touch(db, kind, name)
        })
    }

    /// Removes a label, if it exists.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchName`].
    pub fn remove_label(&self, kind: AssetKind, name: &str, label: &str) -> Result<()> {
        self.write(kind, name, |db| {
            require_container(db, kind, name)?;
            db.execute(
                "DELETE FROM labels WHERE kind = ?1 AND name = ?2 AND label = ?3",
                [kind.as_str(), name, label],
            )?;
            touch(db, kind, name)
        })
    }

    fn change_container(
        &self,
        kind: AssetKind,
        name: &str,
        change: impl FnOnce(&mut AssetContainer),
    ) -> Result<AssetContainer> {
        self.write(kind, name, |db| {
            let mut container = require_container(db, kind, name)?;
            change(&mut container);
            db.execute(
                "UPDATE containers SET description = ?3, tags = ?4 WHERE kind = ?1 AND name = ?2",
                params![kind.as_str(), name, container.description, json(&container.tags)],
            )?;
            touch(db, kind, name)?;
            require_container(db, kind, name)
        })
    }
}

fn touch(db: &Transaction<'_>, kind: AssetKind, name: &str) -> Result<(), Trouble> {
    db.execute(
        "UPDATE containers SET updated = ?3 WHERE kind = ?1 AND name = ?2",
        params![kind.as_str(), name, Timestamp::now().0],
    )?;
    Ok(())
}
