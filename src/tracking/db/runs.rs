//! Runs: created, changed, deleted, read, and ended by the runner.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::experiments::require_active as require_active_experiment;
use super::rows::latest_metrics;
use super::{Db, Trouble};
use crate::clock::Timestamp;
use crate::relative;
use crate::tracking::error::{Result, TrackingError};
use crate::tracking::model::NewRun;
use crate::tracking::model::{Nothing, RUN_NAME_TAG, Run, RunData, RunInfo, RunStatus, Tag, shorten};

/// The longest value of a tag, in characters. Longer ones are truncated, as in MLflow.
const LONGEST_TAG: usize = 8000;

/// A run that a client creates.
pub(in crate::tracking) struct FreshRun<'a> {
    pub(in crate::tracking) run_id: &'a str,
    pub(in crate::tracking) run_name: &'a str,
    pub(in crate::tracking) experiment_id: &'a str,
    pub(in crate::tracking) user_id: &'a str,
    pub(in crate::tracking) start_time: i64,
    pub(in crate::tracking) tags: &'a [Tag],
}

/// A client's changes of a run.
pub(in crate::tracking) struct RunChange<'a> {
    pub(in crate::tracking) status: Option<RunStatus>,
    pub(in crate::tracking) end_time: Option<i64>,
    pub(in crate::tracking) run_name: Option<&'a str>,
}

/// Creates the runner's run, or sets it back to RUNNING.
pub(super) fn begin_job_run(db: &Connection, base: &Path, new: &NewRun, tags: &[Tag]) -> Result<(), Trouble> {
    let folder = new.artifact_dir.as_deref().map(|folder| relative::to(base, folder).display().to_string());
    let exists = db.prepare_cached("SELECT 1 FROM runs WHERE run_uuid = ?1")?.exists([&new.run_id])?;
    if exists {
        db.prepare_cached(
            "UPDATE runs SET status = 'RUNNING', end_time = NULL, lifecycle_stage = 'active', name = ?2
             WHERE run_uuid = ?1",
        )?
        .execute([&new.run_id, &new.run_name])?;
        for tag in tags {
            set_tag(db, &new.run_id, tag)?;
        }
    } else {
        let fresh = FreshRun {
            run_id: &new.run_id,
            run_name: &new.run_name,
            experiment_id: &new.experiment_id,
            user_id: tags.iter().find(|tag| tag.key == "mlflow.user").map_or("unknown", |tag| &tag.value),
            start_time: new.start_time.0,
            tags,
        };
        insert(db, &fresh)?;
    }
    db.prepare_cached(
        "INSERT INTO job_runs (run_uuid, artifact_dir) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET artifact_dir = excluded.artifact_dir, ended = 0",
    )?
    .execute(params![new.run_id, folder])?;
    Ok(())
}

/// Sets the final status of the runner's run.
pub(super) fn end_job_run(db: &Connection, id: &str, status: RunStatus, time: Timestamp) -> Result<(), Trouble> {
    let mut change = db.prepare_cached("UPDATE runs SET status = ?2, end_time = ?3 WHERE run_uuid = ?1")?;
    if change.execute(params![id, status.as_str(), time.0])? == 0 {
        return Err(no_run(id).into());
    }
    db.prepare_cached("UPDATE job_runs SET ended = 1 WHERE run_uuid = ?1")?.execute([id])?;
    Ok(())
}

impl Db {
    pub(in crate::tracking) fn create_run(&self, new: &FreshRun<'_>) -> Result<Run> {
        self.write(|db| {
            insert(db, new)?;
            read(db, new.run_id)
        })
    }

    pub(in crate::tracking) fn create_job_run(&self, new: &NewRun, tags: &[Tag]) -> Result<Run> {
        self.write(|db| {
            begin_job_run(db, self.base(), new, tags)?;
            read(db, &new.run_id)
        })
    }

    pub(in crate::tracking) fn end_job_run(&self, run_id: &str, status: RunStatus, time: Timestamp) -> Result<()> {
        self.write(|db| end_job_run(db, run_id, status, time))
    }

    /// Removes runs with everything that was logged to them.
    pub(in crate::tracking) fn forget(&self, run_ids: &[String]) -> Result<()> {
        const TABLES: [&str; 6] = ["metrics", "latest_metrics", "params", "tags", "job_runs", "runs"];
        self.write(|db| {
            for table in TABLES {
                let mut delete = db.prepare(&format!("DELETE FROM {table} WHERE run_uuid = ?1"))?;
                for id in run_ids {
                    delete.execute([id])?;
                }
            }
            Ok(())
        })
    }

    pub(in crate::tracking) fn run(&self, run_id: &str) -> Result<Run> {
        self.read(|db| read(db, run_id))
    }

    /// The folder for a run's artifacts, if the runner set one, and the run's artifact URI.
    pub(in crate::tracking) fn artifact_place(&self, run_id: &str) -> Result<(Option<PathBuf>, String)> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT artifact_dir, artifact_uri FROM runs LEFT JOIN job_runs USING (run_uuid) WHERE run_uuid = ?1",
            )?;
            let place = query.query_row([run_id], |row| Ok((row.get::<_, Option<String>>(0)?, row.get(1)?)));
            let (folder, uri) = place.optional()?.ok_or_else(|| no_run(run_id))?;
            Ok((folder.map(|folder| relative::from(self.base(), Path::new(&folder))), uri))
        })
    }

    pub(in crate::tracking) fn update_run(&self, run_id: &str, change: &RunChange<'_>) -> Result<RunInfo> {
        self.write(|db| {
            require_active(db, run_id)?;
            let ended = db.prepare_cached("SELECT 1 FROM job_runs WHERE run_uuid = ?1 AND ended")?.exists([run_id])?;
            if !ended {
                if let Some(status) = change.status {
                    // A run that is running again has no end time.
                    let end = change.end_time;
                    db.execute(
                        "UPDATE runs SET status = ?2, end_time = CASE WHEN ?2 IN ('RUNNING', 'SCHEDULED')
                             THEN ?3 ELSE coalesce(?3, end_time) END WHERE run_uuid = ?1",
                        params![run_id, status.as_str(), end],
                    )?;
                } else if change.end_time.is_some() {
                    db.execute("UPDATE runs SET end_time = ?2 WHERE run_uuid = ?1", params![run_id, change.end_time])?;
                }
            }
            if let Some(name) = change.run_name {
                set_tag(db, run_id, &Tag::new(RUN_NAME_TAG, name))?;
            }
            info(db, run_id)
        })
    }

    pub(in crate::tracking) fn set_deleted(&self, run_id: &str, deleted: bool) -> Result<()> {
        self.write(|db| {
            let (stage, time) = if deleted { ("deleted", Some(Timestamp::now().0)) } else { ("active", None) };
            let changed = db.execute(
                "UPDATE runs SET lifecycle_stage = ?2, deleted_time = ?3 WHERE run_uuid = ?1",
                params![run_id, stage, time],
            )?;
            if changed == 0 { Err(no_run(run_id).into()) } else { Ok(()) }
        })
    }

    pub(in crate::tracking) fn tag_run(&self, run_id: &str, tag: &Tag) -> Result<()> {
        self.write(|db| {
            require_active(db, run_id)?;
            set_tag(db, run_id, tag)
        })
    }

    pub(in crate::tracking) fn untag_run(&self, run_id: &str, key: &str) -> Result<()> {
        self.write(|db| {
            require_active(db, run_id)?;
            match db.execute("DELETE FROM tags WHERE run_uuid = ?1 AND key = ?2", [run_id, key])? {
                0 => {
                    let message = format!("No tag with name: {key} in run with id {run_id}");
                    Err(TrackingError::Missing(message).into())
                }
                _ => Ok(()),
            }
        })
    }
}

fn insert(db: &Connection, new: &FreshRun<'_>) -> Result<(), Trouble> {
    check_id(new.run_id)?;
    let experiment = require_active_experiment(db, new.experiment_id)?;
    let artifact_uri = format!("{}/{}/artifacts", experiment.artifact_location.trim_end_matches('/'), new.run_id);
    db.prepare_cached(
        "INSERT INTO runs (run_uuid, name, experiment_id, user_id, status, start_time, artifact_uri)
         VALUES (?1, ?2, ?3, ?4, 'RUNNING', ?5, ?6)",
    )?
    .execute(params![
        new.run_id,
        new.run_name,
        experiment.experiment_id,
        new.user_id,
        new.start_time,
        artifact_uri
    ])?;
    for tag in new.tags {
        set_tag(db, new.run_id, tag)?;
    }
    set_tag(db, new.run_id, &Tag::new(RUN_NAME_TAG, new.run_name))
}

/// Checks a run id by MLflow's rule, which job names satisfy.
fn check_id(id: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.len() <= 256 && id.chars().all(legal) && id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let why = "it must have 1 to 256 letters, digits, '_' or '-', and begin with a letter or digit.";
    Err(TrackingError::invalid_value(&format!("'{id}'"), "run_id", why))
}

/// The error that clients expect for a run that does not exist.
pub(super) fn no_run(run_id: &str) -> TrackingError {
    TrackingError::Missing(format!("Run with id={run_id} not found"))
}

/// Refuses to write to a run that does not exist or is deleted.
pub(super) fn require_active(db: &Connection, run_id: &str) -> Result<(), Trouble> {
    let mut query = db.prepare_cached("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?1")?;
    let stage: Option<String> = query.query_row([run_id], |row| row.get(0)).optional()?;
    match stage.as_deref() {
        None => Err(no_run(run_id).into()),
        Some("active") => Ok(()),
        Some(stage) => {
            let message = format!("The run {run_id} must be in the 'active' state. Current state is {stage}.");
            Err(TrackingError::Invalid(message).into())
        }
    }
}

/// Sets a tag. The tag for the run's name sets the run's name.
pub(super) fn set_tag(db: &Connection, run_id: &str, tag: &Tag) -> Result<(), Trouble> {
    let value = shorten(&tag.value, LONGEST_TAG);
    db.prepare_cached("INSERT OR REPLACE INTO tags (run_uuid, key, value) VALUES (?1, ?2, ?3)")?
        .execute([run_id, &tag.key, &value])?;
    if tag.key == RUN_NAME_TAG {
        db.execute("UPDATE runs SET name = ?2 WHERE run_uuid = ?1", [run_id, &value])?;
    }
    Ok(())
}

/// A run with everything that it logged.
pub(super) fn read(db: &Connection, run_id: &str) -> Result<Run, Trouble> {
    let info = info(db, run_id)?;
    let pair = |row: &Row<'_>| Ok(Tag { key: row.get(0)?, value: row.get(1)? });
    let mut params = db.prepare_cached("SELECT key, value FROM params WHERE run_uuid = ?1")?;
    let mut tags = db.prepare_cached("SELECT key, value FROM tags WHERE run_uuid = ?1")?;
    let data = RunData {
        metrics: latest_metrics(db, run_id)?,
        params: params.query_map([run_id], pair)?.collect::<Result<_, _>>()?,
        tags: tags.query_map([run_id], pair)?.collect::<Result<_, _>>()?,
    };
    Ok(Run { info, data, inputs: Nothing {} })
}

fn info(db: &Connection, run_id: &str) -> Result<RunInfo, Trouble> {
    let mut query = db.prepare_cached("SELECT * FROM runs WHERE run_uuid = ?1")?;
    let info = query.query_row([run_id], |row| {
        let status: String = row.get("status")?;
        let id: String = row.get("run_uuid")?;
        Ok(RunInfo {
            run_uuid: id.clone(),
            run_id: id,
            run_name: row.get("name")?,
            experiment_id: row.get::<_, i64>("experiment_id")?.to_string(),
            user_id: row.get("user_id")?,
            status: RunStatus::parse(&status).unwrap_or(RunStatus::Running),
            start_time: row.get("start_time")?,
            end_time: row.get("end_time")?,
            artifact_uri: row.get("artifact_uri")?,
            lifecycle_stage: row.get("lifecycle_stage")?,
        })
    });
    Ok(info.optional()?.ok_or_else(|| no_run(run_id))?)
}
