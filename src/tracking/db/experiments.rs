//! Experiments and their tags.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Db, Trouble};
use crate::clock::Timestamp;
use crate::tracking::error::{Result, TrackingError};
use crate::tracking::model::{Experiment, Tag, ViewType, shorten};

/// The longest name, in characters.
const LONGEST_NAME: usize = 500;

impl Db {
    pub(in crate::tracking) fn experiment(&self, name: &str) -> Result<String> {
        self.write(|db| {
            let found = by_name(db, name)?;
            let Some(found) = found else { return insert(db, name, None, &[]) };
            db.execute(
                "UPDATE experiments SET lifecycle_stage = 'active' WHERE experiment_id = ?1",
                [&found.experiment_id],
            )?;
            Ok(found.experiment_id)
        })
    }

    pub(in crate::tracking) fn create_experiment(
        &self,
        name: &str,
        artifact_location: Option<&str>,
        tags: &[Tag],
    ) -> Result<String> {
        self.write(|db| match by_name(db, name)? {
            None => insert(db, name, artifact_location, tags),
            Some(found) if found.lifecycle_stage == "deleted" => {
                let message = format!(
                    "Experiment '{name}' already exists in deleted state. You can restore the experiment, or \
                     permanently delete it to create a new one."
                );
                Err(TrackingError::Exists(message).into())
            }
            Some(_) => Err(TrackingError::Exists(format!("Experiment '{name}' already exists.")).into()),
        })
    }

    pub(in crate::tracking) fn experiment_by_id(&self, id: &str) -> Result<Experiment> {
        self.read(|db| require(db, id))
    }

    pub(in crate::tracking) fn experiment_by_name(&self, name: &str) -> Result<Experiment> {
        let missing = || TrackingError::Missing(format!("Could not find experiment with name '{name}'"));
        self.read(|db| by_name(db, name))?.ok_or_else(missing)
    }

    /// All experiments of a view, the newest first.
    pub(in crate::tracking) fn experiments(&self, view: ViewType) -> Result<Vec<Experiment>> {
        self.read(|db| {
            let mut query =
                db.prepare_cached("SELECT * FROM experiments ORDER BY creation_time DESC, experiment_id DESC")?;
            let all = query.query_map([], experiment)?.collect::<Result<Vec<_>, _>>()?;
            all.into_iter().filter(|e| view.admits(&e.lifecycle_stage)).map(|e| with_tags(db, e)).collect()
        })
    }

    pub(in crate::tracking) fn tag_experiment(&self, id: &str, tag: &Tag) -> Result<()> {
        self.write(|db| {
            require_active(db, id)?;
            set_tag(db, id, tag)?;
            touch(db, id)
        })
    }
}

/// The experiment, if it exists and is not deleted.
pub(super) fn require_active(db: &Connection, id: &str) -> Result<Experiment, Trouble> {
    let experiment = require(db, id)?;
    if experiment.lifecycle_stage != "active" {
        let message = format!(
            "The experiment {id} must be in the 'active' state. Current state is {}.",
            experiment.lifecycle_stage
        );
        return Err(TrackingError::Invalid(message).into());
    }
    Ok(experiment)
}

fn require(db: &Connection, id: &str) -> Result<Experiment, Trouble> {
    // Experiment ids are numbers, so another text matches no experiment.
    let number = id.parse::<i64>().ok();
    let mut query = db.prepare_cached("SELECT * FROM experiments WHERE experiment_id = ?1")?;
    match query.query_row([number], experiment).optional()? {
        Some(experiment) => with_tags(db, experiment),
        None => Err(TrackingError::Missing(format!("No Experiment with id={id} exists")).into()),
    }
}

fn by_name(db: &Connection, name: &str) -> Result<Option<Experiment>, Trouble> {
    let mut query = db.prepare_cached("SELECT * FROM experiments WHERE name = ?1")?;
    query.query_row([name], experiment).optional()?.map(|experiment| with_tags(db, experiment)).transpose()
}

fn insert(db: &Connection, name: &str, location: Option<&str>, tags: &[Tag]) -> Result<String, Trouble> {
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        let why = format!("it must have 1 to {LONGEST_NAME} characters.");
        return Err(TrackingError::invalid_value(&format!("'{name}'"), "name", &why).into());
    }
    db.execute(
        "INSERT INTO experiments (name, artifact_location, creation_time, last_update_time) VALUES (?1, ?2, ?3, ?3)",
        params![name, location.unwrap_or_default(), Timestamp::now().0],
    )?;
    let id = db.last_insert_rowid().to_string();
    if location.is_none() {
        let location = format!("mlflow-artifacts:/{id}");
        db.execute("UPDATE experiments SET artifact_location = ?1 WHERE experiment_id = ?2", [&location, &id])?;
    }
    for tag in tags {
        set_tag(db, &id, tag)?;
    }
    Ok(id)
}

fn set_tag(db: &Connection, id: &str, tag: &Tag) -> Result<(), Trouble> {
    db.prepare_cached("INSERT OR REPLACE INTO experiment_tags VALUES (?1, ?2, ?3)")?.execute([
        id,
        &tag.key,
        shorten(&tag.value, 20_000).as_ref(),
    ])?;
    Ok(())
}

fn touch(db: &Connection, id: &str) -> Result<(), Trouble> {
    let now = Timestamp::now().0;
    db.execute("UPDATE experiments SET last_update_time = ?1 WHERE experiment_id = ?2", params![now, id])?;
    Ok(())
}

fn experiment(row: &Row<'_>) -> rusqlite::Result<Experiment> {
    Ok(Experiment {
        experiment_id: row.get::<_, i64>("experiment_id")?.to_string(),
        name: row.get("name")?,
        artifact_location: row.get("artifact_location")?,
        lifecycle_stage: row.get("lifecycle_stage")?,
        last_update_time: row.get("last_update_time")?,
        creation_time: row.get("creation_time")?,
        tags: Vec::new(),
    })
}

fn with_tags(db: &Connection, mut experiment: Experiment) -> Result<Experiment, Trouble> {
    let mut query = db.prepare_cached("SELECT key, value FROM experiment_tags WHERE experiment_id = ?1")?;
    let tags = query.query_map([&experiment.experiment_id], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?;
    experiment.tags = tags.collect::<Result<_, _>>()?;
    Ok(experiment)
}
