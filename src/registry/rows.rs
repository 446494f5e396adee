//! Converts rows of the registry's tables into assets and containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;

use super::asset::{Asset, Selector};
use super::error::{RegistryError, Result, Trouble};
use super::kind::AssetKind;
use crate::clock::Timestamp;
use crate::diagnostic::suggest;
use crate::digest::Digest;

pub(super) const COLUMNS: &str =
    "kind, name, version, type, path, digest, bytes, description, tags, properties, framework,
    framework_version, run, step, source, stage, archived, created, updated, summary,
    (SELECT group_concat(label) FROM (SELECT label FROM labels WHERE labels.kind = assets.kind
        AND labels.name = assets.name AND labels.version = assets.version ORDER BY label)) AS labels";

/// A name, with the description of all its versions.
#[derive(Clone, Debug, PartialEq)]
pub struct AssetContainer {
    /// The name.
    pub name: String,
    /// A description for people; may be empty.
    pub description: String,
    /// Names and values.
    pub tags: BTreeMap<String, String>,
    /// The version of each label.
    pub labels: BTreeMap<String, String>,
    /// When the name was first used.
    pub created: Timestamp,
    /// When it, or the list of its versions, last changed.
    pub updated: Timestamp,
}

/// The name, or an error that lists similar names.
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

pub(super) fn container(row: &Row<'_>) -> rusqlite::Result<AssetContainer> {
    Ok(AssetContainer {
        name: row.get("name")?,
        description: row.get("description")?,
        tags: object(&row.get::<_, String>("tags")?)?,
        labels: BTreeMap::new(),
        created: Timestamp(row.get("created")?),
        updated: Timestamp(row.get("updated")?),
    })
}

pub(super) fn with_labels(
    db: &Connection,
    kind: AssetKind,
    mut container: AssetContainer,
) -> Result<AssetContainer, Trouble> {
    let mut query = db.prepare_cached("SELECT label, version FROM labels WHERE kind = ?1 AND name = ?2")?;
    let labels = query.query_map([kind.as_str(), &container.name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    container.labels = labels.collect::<Result<_, _>>()?;
    Ok(container)
}

/// The name that the user may have meant.
pub(super) fn near(wanted: &str, names: &[String]) -> Option<String> {
    suggest::nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

pub(super) fn find(db: &Connection, kind: AssetKind, name: &str, selector: &Selector) -> Result<Asset, Trouble> {
    let (condition, value) = match selector {
        Selector::Version(version) => ("version = ?3", version.as_str()),
        Selector::Latest => ("?3 = '' AND archived = 0", ""),
        Selector::Label(label) => {
            ("version = (SELECT version FROM labels WHERE kind = ?1 AND name = ?2 AND label = ?3)", label.as_str())
        }
    };
    let sql =
        format!("SELECT {COLUMNS} FROM assets WHERE kind = ?1 AND name = ?2 AND {condition} ORDER BY id DESC LIMIT 1");
    let found = db.prepare_cached(&sql)?.query_row([kind.as_str(), name, value], asset).optional()?;
    if let Some(asset) = found {
        return Ok(asset);
    }
    require_container(db, kind, name)?;
    let known = match selector {
        Selector::Label(_) => "SELECT label FROM labels WHERE kind = ?1 AND name = ?2 ORDER BY label LIMIT 10",
        _ => "SELECT version FROM assets WHERE kind = ?1 AND name = ?2 AND archived = 0 ORDER BY id DESC LIMIT 10",
    };
    let mut query = db.prepare_cached(known)?;
    let known = query.query_map([kind.as_str(), name], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Err(RegistryError::NoSuchVersion { kind, name: name.to_owned(), wanted: selector.to_string(), known }.into())
}

pub(super) fn asset(row: &Row<'_>) -> rusqlite::Result<Asset> {
    let text = |column: &str| row.get::<_, String>(column);
    let labels: Option<String> = row.get("labels")?;
    Ok(Asset {
        name: text("name")?,
        version: text("version")?,
        asset_type: text("type")?.parse().map_err(unreadable)?,
        path: PathBuf::from(text("path")?),
        digest: digest(&text("digest")?).map_err(unreadable)?,
        bytes: u64::try_from(row.get::<_, i64>("bytes")?).unwrap_or(0),
        description: text("description")?,
        tags: object(&text("tags")?)?,
        properties: object(&text("properties")?)?,
        framework: row.get("framework")?,
        framework_version: row.get("framework_version")?,
        run: row.get("run")?,
        step: row.get("step")?,
        source: row.get("source")?,
        summary: row.get::<_, Option<String>>("summary")?.and_then(|text| serde_json::from_str(&text).ok()),
        stage: text("stage")?,
        labels: labels.iter().flat_map(|labels| labels.split(',')).map(str::to_owned).collect(),
        archived: row.get("archived")?,
        created: Timestamp(row.get("created")?),
        updated: Timestamp(row.get("updated")?),
    })
}

fn digest(text: &str) -> Result<Digest, serde::de::value::Error> {
    Digest::deserialize(text.into_deserializer())
}

/// A value in the database that this amlrun cannot read.
fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

pub(super) fn json(map: &BTreeMap<String, String>) -> String {
    serde_json::Value::from_iter(map.iter().map(|(key, value)| (key.clone(), value.clone()))).to_string()
}

pub(super) fn object(text: &str) -> rusqlite::Result<BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(unreadable)
}
