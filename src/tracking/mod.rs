//! The tracking server: experiments, runs, metrics, artifacts and registered models over MLflow's REST API.
//!
//! Two doors lead to one store. The runner uses [`Tracking`] directly: it makes a run for every job and step and has
//! the last word on how each ended. Steps use HTTP, through [`Server`], with any MLflow client. Registered models are
//! not kept here: they are assets of the workspace's registry, with a sealed copy of their bytes.
//!
//! A request goes server -> api -> (db | registry | place). [`error`] and [`args`] know MLflow's wire conventions,
//! [`model`] its records, [`filter`] and [`compare`] its search language; `db` is the only room with SQL, [`place`] the only one that
//! turns an outside path into one on disk, [`seal`] the only one that copies models. Nothing here knows of jobs, steps
//! or plans. Trouble is a value: that recording failed is for the caller to say, and never stops a run.

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
}

impl Tracking {
    /// Opens the store kept in the file `db`. Models registered over HTTP are sealed below the folder `models` and
    /// recorded in `registry`; artifacts of runs without a folder of their own go below `artifacts`. Both folders are
    /// made when they are needed.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub fn open(db: &Path, registry: Arc<Registry>, models: PathBuf, artifacts: PathBuf) -> Result<Self> {
        Ok(Self { db: Db::open(db)?, registry, models, artifacts, requests: AtomicU64::new(0) })
    }

    /// The id of the experiment of this name, which is made when there is none (and restored when it was deleted).
    ///
    /// # Errors
    /// An empty or too long name, or trouble with the database.
    pub fn experiment(&self, name: &str) -> Result<String> {
        self.db.experiment(name)
    }

    /// Makes a run in state RUNNING that belongs to the runner: clients may log to it, but only [`Tracking::end_run`]
    /// says for good how it ended. For a run that exists already (a retried or resumed step) this sets it back to
    /// RUNNING, adds the tags and keeps what was logged.
    ///
    /// # Errors
    /// An unknown experiment, an id that is no run id, or trouble with the database.
    pub fn create_run(&self, new: &NewRun) -> Result<Run> {
        let mut tags = vec![Tag::new(model::RUN_NAME_TAG, &new.run_name)];
        tags.extend(new.parent.iter().map(|parent| Tag::new(model::PARENT_TAG, parent)));
        tags.extend(new.tags.iter().map(|(key, value)| Tag::new(key, value)));
        self.db.create_job_run(new, &tags)
    }

    /// Like [`Tracking::create_run`], for many runs: it is written when somebody asks for anything.
    ///
    /// # Errors
    /// Trouble with the database.
    pub fn begin_run(&self, new: NewRun) -> Result<()> {
        let mut tags = vec![Tag::new(model::RUN_NAME_TAG, &new.run_name)];
        tags.extend(new.parent.iter().map(|parent| Tag::new(model::PARENT_TAG, parent)));
        tags.extend(new.tags.iter().map(|(key, value)| Tag::new(key, value)));
        self.db.begin_later(new, tags)
    }

    /// Says how a run that [`Tracking::begin_run`] made ended; it is written when somebody asks for anything.
    ///
    /// # Errors
    /// Trouble with the database.
    pub fn finish_run(&self, run_id: &str, status: RunStatus, time: Timestamp) -> Result<()> {
        self.db.end_later(run_id, status, time)
    }

    /// How many requests clients have made so far. Where none came, nothing was logged.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A client asks for something.
    fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes what [`Tracking::begin_run`] and [`Tracking::finish_run`] left for later.
    ///
    /// # Errors
    /// Trouble with the database.
    pub fn flush(&self) -> Result<()> {
        self.db.flush()
    }

    /// Says how a run of the runner ended. Clients can no longer change its status afterwards.
    ///
    /// # Errors
    /// An unknown run, or trouble with the database.
    pub fn end_run(&self, run_id: &str, status: RunStatus, time: Timestamp) -> Result<()> {
        self.db.end_job_run(run_id, status, time)
    }

    /// The values of a metric of a run, in the order of time.
    ///
    /// # Errors
    /// Trouble with the database.
    pub fn history(&self, run_id: &str, metric: &str) -> Result<Vec<model::Metric>> {
        Ok(self.db.history(run_id, metric, None)?.items)
    }

    /// Removes runs with all that was logged to them: a later run of that name must not inherit it.
    ///
    /// # Errors
    /// Trouble with the database.
    pub fn forget(&self, run_ids: &[String]) -> Result<()> {
        self.db.forget(run_ids)
    }

    /// A run with its latest metrics, its parameters and its tags.
    ///
    /// # Errors
    /// An unknown run, or trouble with the database.
    pub fn run(&self, run_id: &str) -> Result<Run> {
        self.db.run(run_id)
    }
}
