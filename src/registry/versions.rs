//! Registers, finds, lists and relabels versions of assets.

use std::path::Path;

use rusqlite::{Transaction, named_params, params};

use super::asset::{Asset, NewAsset, Selector, check_name, check_version};
use super::error::{RegistryError, Result, Trouble};
use super::kind::AssetKind;
use super::rows::{COLUMNS, asset, find, json};
use super::{Registry, summary};
use crate::clock::Timestamp;
use crate::relative;
use crate::reuse::Listing;

impl Registry {
    /// Registers sealed content under a name: takes the next number unless a version is given, and creates a new
    /// name. Any number of threads and processes may do this at the same time.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] for an invalid name or version, [`RegistryError::Exists`] when the version exists,
    /// [`RegistryError::Dangerous`] and [`RegistryError::Unjudged`] for a model that runs code when Python loads it,
    /// or that cannot be judged, unless that is allowed.
    pub fn register(&self, new: NewAsset) -> Result<Asset> {
        let summary = summary::look(&new)?.and_then(|summary| serde_json::to_string(&summary).ok());
        let NewAsset { name, version, asset_type, path, digest, bytes, description, .. } = new;
        let NewAsset { tags, properties, framework, framework_version, run, step, source, .. } = new;
        check_name(&name)?;
        version.as_deref().map_or(Ok(()), check_version)?;
        let kind = asset_type.kind();
        let Some(path) = path.to_str() else {
            let message = format!("{}: the path of an asset must be UTF-8", path.display());
            return Err(RegistryError::Invalid(message));
        };
        let fingerprint = Listing::of(Path::new(&path)).ok().map(|listing| listing.fingerprint().to_string());
        let kept = relative::to(&self.base, Path::new(path));
        let kept = kept.to_string_lossy();
        let asset = self.write(kind, &name, |db| {
            let now = Timestamp::now();
            let version = take_version(db, kind, &name, version.as_deref(), now)?;
            db.prepare_cached(
                "INSERT INTO assets (kind, name, version, type, path, digest, bytes, description, tags, properties,
                    framework, framework_version, run, step, source, summary, fingerprint, created, updated)
                 VALUES (:kind, :name, :version, :type, :path, :digest, :bytes, :description, :tags, :properties,
                    :framework, :framework_version, :run, :step, :source, :summary, :fingerprint, :now, :now)",
            )?
            .execute(named_params! {
                ":kind": kind.as_str(), ":name": name, ":version": version, ":type": asset_type.as_str(),
                ":path": kept, ":digest": digest.as_str(), ":bytes": i64::try_from(bytes).unwrap_or(i64::MAX),
                ":description": description, ":tags": json(&tags), ":properties": json(&properties),
                ":framework": framework, ":framework_version": framework_version, ":run": run, ":step": step,
                ":source": source, ":summary": summary, ":fingerprint": fingerprint, ":now": now.0,
            })?;
            find(db, kind, &name, &Selector::Version(version))
        })?;
        Ok(self.placed(asset))
    }

    /// The version of `name` that `selector` means.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchName`] with similar names, [`RegistryError::NoSuchVersion`] with the existing versions.
    pub fn get(&self, kind: AssetKind, name: &str, selector: &Selector) -> Result<Asset> {
        self.read(|db| find(db, kind, name, selector)).map(|asset| self.placed(asset))
    }

    /// All versions of one name or of all names, including archived ones, newest first. An unknown name gives an
    /// empty list.
    ///
    /// # Errors
    /// [`RegistryError::Database`].
    pub fn list(&self, kind: AssetKind, name: Option<&str>) -> Result<Vec<Asset>> {
        let assets = self.read(|db| {
            let sql =
                format!("SELECT {COLUMNS} FROM assets WHERE kind = ?1 AND (?2 IS NULL OR name = ?2) ORDER BY id DESC");
            let mut query = db.prepare_cached(&sql)?;
            let assets = query.query_map(params![kind.as_str(), name], asset)?;
            Ok(assets.collect::<Result<Vec<_>, _>>()?)
        })?;
        Ok(assets.into_iter().map(|asset| self.placed(asset)).collect())
    }

    /// Replaces the description of one version.
    ///
    /// # Errors
    /// As for [`Registry::get`].
    pub fn describe(&self, kind: AssetKind, name: &str, version: &str, description: &str) -> Result<Asset> {
        self.change(kind, name, version, |asset| description.clone_into(&mut asset.description))
    }

    /// Sets a tag of one version, or removes it when `value` is `None`.
    ///
    /// # Errors
    /// As for [`Registry::get`].
    pub fn tag(&self, kind: AssetKind, name: &str, version: &str, key: &str, value: Option<&str>) -> Result<Asset> {
        self.change(kind, name, version, |asset| match value {
            Some(value) => drop(asset.tags.insert(key.to_owned(), value.to_owned())),
            None => drop(asset.tags.remove(key)),
        })
    }

    /// Hides one version from lists and from `@latest`, or shows it again.
    ///
    /// # Errors
    /// As for [`Registry::get`].
    pub fn archive(&self, kind: AssetKind, name: &str, version: &str, archived: bool) -> Result<Asset> {
        self.change(kind, name, version, |asset| asset.archived = archived)
    }

    /// Moves one version to a stage (`None`, `Staging`, `Production`, `Archived`, in any case). With
    /// `archive_others`, other versions in that stage move to `Archived`.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] for an unknown stage; otherwise as for [`Registry::get`].
    pub fn set_stage(
        &self,
        kind: AssetKind,
        name: &str,
        version: &str,
        stage: &str,
        archive_others: bool,
    ) -> Result<Asset> {
        let stage = parse_stage(stage)?;
        let asset = self.write(kind, name, |db| {
            let mut asset = find(db, kind, name, &Selector::Version(version.to_owned()))?;
            if archive_others && matches!(stage, "Staging" | "Production") {
                db.execute(
                    "UPDATE assets SET stage = 'Archived', updated = ?1
                     WHERE kind = ?2 AND name = ?3 AND stage = ?4 AND version <> ?5",
                    params![Timestamp::now().0, kind.as_str(), name, stage, version],
                )?;
            }
            stage.clone_into(&mut asset.stage);
            save(db, &mut asset)?;
            Ok(asset)
        })?;
        Ok(self.placed(asset))
    }

    fn change(&self, kind: AssetKind, name: &str, version: &str, change: impl FnOnce(&mut Asset)) -> Result<Asset> {
        let asset = self.write(kind, name, |db| {
            let mut asset = find(db, kind, name, &Selector::Version(version.to_owned()))?;
            change(&mut asset);
            save(db, &mut asset)?;
            Ok(asset)
        })?;
        Ok(self.placed(asset))
    }
}

/// The standard spelling of a stage.
///
/// # Errors
/// [`RegistryError::Invalid`] with MLflow's message.
pub fn parse_stage(stage: &str) -> Result<&'static str> {
    let known = ["None", "Staging", "Production", "Archived"];
    known.into_iter().find(|known| known.eq_ignore_ascii_case(stage)).ok_or_else(|| {
        let message = format!("Invalid Model Version stage: {stage}. Value must be one of {}.", known.join(", "));
        RegistryError::Invalid(message)
    })
}

fn save(db: &Transaction<'_>, asset: &mut Asset) -> Result<(), Trouble> {
    asset.updated = Timestamp::now();
    db.prepare_cached(
        "UPDATE assets SET description = ?1, tags = ?2, stage = ?3, archived = ?4, updated = ?5
         WHERE kind = ?6 AND name = ?7 AND version = ?8",
    )?
    .execute(params![
        asset.description,
        json(&asset.tags),
        asset.stage,
        asset.archived,
        asset.updated.0,
        asset.kind().as_str(),
        asset.name,
        asset.version
    ])?;
    Ok(())
}

/// Creates a new name if needed, and returns the version to use. The caller holds the write lock.
fn take_version(
    db: &Transaction<'_>,
    kind: AssetKind,
    name: &str,
    wanted: Option<&str>,
    now: Timestamp,
) -> Result<String, Trouble> {
    db.prepare_cached(
        "INSERT INTO containers (kind, name, created, updated) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT DO UPDATE SET updated = excluded.updated",
    )?
    .execute(params![kind.as_str(), name, now.0])?;
    let last: i64 = db.query_row(
        "SELECT last_version FROM containers WHERE kind = ?1 AND name = ?2",
        [kind.as_str(), name],
        |row| row.get(0),
    )?;
    let (version, number) = match wanted {
        Some(version) => (version.to_owned(), version.parse().unwrap_or(0)),
        None => {
            let next = last.saturating_add(1);
            (next.to_string(), next)
        }
    };
    let exists = "SELECT 1 FROM assets WHERE kind = ?1 AND name = ?2 AND version = ?3";
    if db.prepare_cached(exists)?.exists([kind.as_str(), name, &version])? {
        return Err(RegistryError::Exists { kind, id: format!("{name}:{version}") }.into());
    }
    db.prepare_cached("UPDATE containers SET last_version = max(last_version, ?3) WHERE kind = ?1 AND name = ?2")?
        .execute(params![kind.as_str(), name, number])?;
    Ok(version)
}
