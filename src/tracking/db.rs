//! The tracking database: its tables, its one connection, its transactions. The queries are in the modules below.
//!
//! Tables and columns have MLflow's names, so that its tools can learn to read the file; `job_runs` is amlrun's own.
//! Each request is one transaction. As in MLflow's SQL store, NaN is stored as value 0 with `is_nan`, and infinities
//! as the largest numbers.

mod deferred;
mod experiments;
mod metrics;
mod rows;
mod runs;
mod search;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, Transaction};

pub(super) use metrics::Batch;
pub(super) use runs::{FreshRun, RunChange};
pub(super) use search::RunSearch;

use super::error::{Result, TrackingError};
use super::model::{NewRun, RunStatus, Tag};
use crate::clock::Timestamp;
use crate::sqlite;

const MIGRATIONS: &[&str] = &["
CREATE TABLE experiments (
    experiment_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    name              TEXT NOT NULL UNIQUE,
    artifact_location TEXT NOT NULL,
    lifecycle_stage   TEXT NOT NULL DEFAULT 'active',
    creation_time     INTEGER NOT NULL,
    last_update_time  INTEGER NOT NULL
);
INSERT INTO experiments VALUES
    (0, 'Default', 'mlflow-artifacts:/0', 'active', unixepoch() * 1000, unixepoch() * 1000);

CREATE TABLE experiment_tags (
    experiment_id INTEGER NOT NULL REFERENCES experiments,
    key           TEXT NOT NULL,
    value         TEXT NOT NULL,
    PRIMARY KEY (experiment_id, key)
) WITHOUT ROWID;

CREATE TABLE runs (
    run_uuid        TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    experiment_id   INTEGER NOT NULL REFERENCES experiments,
    user_id         TEXT NOT NULL,
    status          TEXT NOT NULL,
    start_time      INTEGER,
    end_time        INTEGER,
    deleted_time    INTEGER,
    lifecycle_stage TEXT NOT NULL DEFAULT 'active',
    artifact_uri    TEXT NOT NULL
);
CREATE INDEX runs_by_experiment ON runs (experiment_id, start_time);

-- Runs that the runner made: only it says how they ended.
CREATE TABLE job_runs (
    run_uuid     TEXT PRIMARY KEY REFERENCES runs,
    artifact_dir TEXT,
    ended        INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE params (
    run_uuid TEXT NOT NULL REFERENCES runs,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (run_uuid, key)
) WITHOUT ROWID;

CREATE TABLE tags (
    run_uuid TEXT NOT NULL REFERENCES runs,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (run_uuid, key)
) WITHOUT ROWID;

CREATE TABLE metrics (
    run_uuid  TEXT NOT NULL REFERENCES runs,
    key       TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    value     REAL NOT NULL,
    is_nan    INTEGER NOT NULL,
    PRIMARY KEY (run_uuid, key, timestamp, step, value, is_nan)
) WITHOUT ROWID;

CREATE TABLE latest_metrics (
    run_uuid  TEXT NOT NULL REFERENCES runs,
    key       TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    value     REAL NOT NULL,
    is_nan    INTEGER NOT NULL,
    PRIMARY KEY (run_uuid, key)
) WITHOUT ROWID;
"];

/// A deferred write.
enum Deferred {
    /// A run begins.
    Begin(Box<NewRun>, Vec<Tag>),
    /// A run ended.
    End(String, RunStatus, Timestamp),
}

/// The open database. Threads take turns; processes do, too, by SQLite's own lock.
pub(super) struct Db {
    path: PathBuf,
    connection: sqlite::Shared,
    /// The deferred writes. Only the owner of the connection takes them.
    waiting: Mutex<Vec<Deferred>>,
}

impl Db {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = sqlite::open(path, MIGRATIONS)?;
        Ok(Self { path: path.to_owned(), connection: sqlite::Shared::new(connection), waiting: Mutex::default() })
    }

    /// The folder of the database. Folders of runs are relative to it.
    fn base(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Runs a query that changes nothing, on one state of the database.
    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T> {
        self.after_waiting(|connection| sqlite::read(connection, |transaction| ask(transaction)))
    }

    /// Changes something in one transaction.
    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>) -> Result<T> {
        self.after_waiting(|connection| sqlite::write(connection, change))
    }

    /// Works on the database after everything that was deferred is written.
    fn after_waiting<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Trouble>) -> Result<T> {
        let mut connection = self.connection.lock();
        let done = self.write_waiting(&mut connection).and_then(|()| work(&mut connection));
        done.map_err(|trouble| trouble.named(|source| TrackingError::Database { path: self.path.clone(), source }))
    }
}

/// An error inside a transaction.
type Trouble = sqlite::Trouble<TrackingError>;

impl From<TrackingError> for Trouble {
    fn from(error: TrackingError) -> Self {
        Self::Own(error)
    }
}
