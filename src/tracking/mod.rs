//! The tracking server: experiments, runs, metrics, artifacts and registered models over MLflow's REST API.
//!
//! There are two ways to one store. The runner uses [`Tracking`] directly: it creates a run for every job and step
//! and sets the final status of each. Steps use HTTP, through [`Server`], with any MLflow client. Registered models
//! are not stored here: they are assets of the workspace's registry, with a sealed copy of their content.
//!
//! A request goes server -> api -> (db | registry | place). [`error`] and [`args`] know MLflow's wire conventions,
//! [`model`] its records, [`filter`] and [`compare`] its search language. `db` is the only module with SQL, [`place`]
//! the only one that turns an outside path into one on disk, [`seal`] the only one that copies models. This module
//! knows nothing of jobs, steps or plans. Errors are values: the caller decides what to do when recording fails, and
//! it never stops a run.

pub mod args;
pub mod compare;
pub mod error;
pub mod filter;
pub mod model;
pub mod place;
mod route;
pub mod seal;
pub mod server;

mod api;
mod db;
mod guard;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

pub use error::{Result, TrackingError};
pub use model::{NewRun, RunStatus};
pub use server::Server;

use crate::clock::Timestamp;
use crate::registry::Registry;
use db::Db;
use model::{Run, Tag};

/// The tracking store of one workspace, and what it needs beside its database. Share it as `Arc<Tracking>`.
pub struct Tracking {
    db: Db,
    registry: Arc<Registry>,
    models: PathBuf,
    artifacts: PathBuf,
    requests: AtomicU64,
    /// The number of requests that logged something.
    logged: watch::Sender<u64>,
}

impl Tracking {
    /// Opens the store in the file `db`. Models registered over HTTP are sealed below the folder `models` and
    /// recorded in `registry`. Artifacts of runs without their own folder go below `artifacts`. Both folders are made
    /// when they are needed.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn open(db: &Path, registry: Arc<Registry>, models: PathBuf, artifacts: PathBuf) -> Result<Self> {
        Ok(Self {
            db: Db::open(db)?,
            registry,
            models,
            artifacts,
            requests: AtomicU64::new(0),
            logged: watch::Sender::new(0),
        })
    }

    /// The id of the experiment with this name. It is created if it does not exist, and restored if it was deleted.
    ///
    /// # Errors
    /// An empty or too long name, or an error of the database.
    pub fn experiment(&self, name: &str) -> Result<String> {
        self.db.experiment(name)
    }

    /// Creates a run in state RUNNING that belongs to the runner: clients may log to it, but only
    /// [`Tracking::end_run`] sets its final status. If the run already exists (a retried or resumed step), this sets
    /// it back to RUNNING, adds the tags and keeps what was logged.
    ///
    /// # Errors
    /// An unknown experiment, an invalid run id, or an error of the database.
    pub fn create_run(&self, new: &NewRun) -> Result<Run> {
        let mut tags = vec![Tag::new(model::RUN_NAME_TAG, &new.run_name)];
        tags.extend(new.parent.iter().map(|parent| Tag::new(model::PARENT_TAG, parent)));
        tags.extend(new.tags.iter().map(|(key, value)| Tag::new(key, value)));
        self.db.create_job_run(new, &tags)
    }

    /// Like [`Tracking::create_run`], for many runs: the write is deferred until the database is needed.
    ///
    /// # Errors
    /// An error of the database.
    pub fn begin_run(&self, new: NewRun) -> Result<()> {
        let mut tags = vec![Tag::new(model::RUN_NAME_TAG, &new.run_name)];
        tags.extend(new.parent.iter().map(|parent| Tag::new(model::PARENT_TAG, parent)));
        tags.extend(new.tags.iter().map(|(key, value)| Tag::new(key, value)));
        self.db.begin_later(new, tags)
    }

    /// Sets the status of a run that [`Tracking::begin_run`] created; the write is deferred until the database is
    /// needed.
    ///
    /// # Errors
    /// An error of the database.
    pub fn finish_run(&self, run_id: &str, status: RunStatus, time: Timestamp) -> Result<()> {
        self.db.end_later(run_id, status, time)
    }

    /// How many requests clients have sent so far. Without requests, nothing was logged.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Changes whenever a client has logged something.
    #[must_use]
    pub fn logged(&self) -> watch::Receiver<u64> {
        self.logged.subscribe()
    }

    /// Logs what a client sends.
    fn log(&self, run_id: &str, batch: &db::Batch) -> Result<()> {
        self.db.log(run_id, batch)?;
        self.logged.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Adds tags to a run.
    ///
    /// # Errors
    /// An unknown run, or an error of the database.
    pub fn tag(&self, run_id: &str, tags: &[(String, String)]) -> Result<()> {
        let tags = tags.iter().map(|(key, value)| Tag::new(key, value)).collect();
        self.db.log(run_id, &db::Batch { tags, ..db::Batch::default() })
    }

    /// Counts a request of a client.
    fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes what [`Tracking::begin_run`] and [`Tracking::finish_run`] deferred.
    ///
    /// # Errors
    /// An error of the database.
    pub fn flush(&self) -> Result<()> {
        self.db.flush()
    }

    /// Sets the final status of a run of the runner. Clients cannot change it afterwards.
    ///
    /// # Errors
    /// An unknown run, or an error of the database.
    pub fn end_run(&self, run_id: &str, status: RunStatus, time: Timestamp) -> Result<()> {
        self.db.end_job_run(run_id, status, time)
    }

    /// The values of a metric of a run, sorted by time.
    ///
    /// # Errors
    /// An error of the database.
    pub fn history(&self, run_id: &str, metric: &str) -> Result<Vec<model::Metric>> {
        Ok(self.db.history(run_id, metric, None)?.items)
    }

    /// Removes runs with everything that was logged to them: a later run of the same name must not inherit it.
    ///
    /// # Errors
    /// An error of the database.
    pub fn forget(&self, run_ids: &[String]) -> Result<()> {
        self.db.forget(run_ids)
    }

    /// A run with its latest metrics, its parameters and its tags.
    ///
    /// # Errors
    /// An unknown run, or an error of the database.
    pub fn run(&self, run_id: &str) -> Result<Run> {
        self.db.run(run_id)
    }
}
