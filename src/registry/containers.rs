//! Names with all their versions: Azure ML's asset containers, MLflow's registered models. They have a description
//! and tags of their own, and labels (MLflow: aliases) that point at versions.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::asset::{AssetKind, Selector, check_label, check_name};
use super::versions::{find, json, object};
use super::{Registry, RegistryError, Result, Trouble};
use crate::clock::Timestamp;
use crate::diagnostic::suggest;

/// A name and what is said about all its versions together.
#[derive(Clone, Debug, PartialEq)]
pub struct AssetContainer {
    /// The name.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// Labels and values.
    pub tags: BTreeMap<String, String>,
    /// Label to version.
    pub labels: BTreeMap<String, String>,
    /// When the name was first used.
    pub created: Timestamp,
    /// When it, or the list of its versions, last changed.
    pub updated: Timestamp,
}

impl Registry {
    /// Makes a name without versions.
    ///
    /// # Errors
    /// [`RegistryError::Exists`] when there is one, [`RegistryError::Invalid`] for a bad name.
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

    /// Points a label (MLflow: alias) at a version, whatever it pointed at before.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] for a bad label; else as for [`Registry::get`].
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

    /// Removes a label; nothing happens when there is none.
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

/// The name, or an error that lists names like it.
pub(super) fn require_container(db: &Connection, kind: AssetKind, name: &str) -> Result<AssetContainer, Trouble> {
    let mut query = db.prepare_cached("SELECT * FROM containers WHERE kind = ?1 AND name = ?2")?;
    match query.query_row([kind.as_str(), name], container).optional()? {
        Some(container) => with_labels(db, kind, container),
        None => {
            let mut query = db.prepare_cached("SELECT name FROM containers WHERE kind = ?1")?;
            let names: Vec<String> = query.query_map([kind.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Err(RegistryError::NoSuchName { kind, name: name.to_owned(), near: near(name, &names) }.into())
        }
    }
}

fn container(row: &Row<'_>) -> rusqlite::Result<AssetContainer> {
    Ok(AssetContainer {
        name: row.get("name")?,
        description: row.get("description")?,
        tags: object(&row.get::<_, String>("tags")?)?,
        labels: BTreeMap::new(),
        created: Timestamp(row.get("created")?),
        updated: Timestamp(row.get("updated")?),
    })
}

fn with_labels(db: &Connection, kind: AssetKind, mut container: AssetContainer) -> Result<AssetContainer, Trouble> {
    let mut query = db.prepare_cached("SELECT label, version FROM labels WHERE kind = ?1 AND name = ?2")?;
    let labels = query.query_map([kind.as_str(), &container.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    container.labels = labels.collect::<Result<_, _>>()?;
    Ok(container)
}

/// The name that a person may have meant.
fn near(wanted: &str, names: &[String]) -> Option<String> {
    suggest::nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}
