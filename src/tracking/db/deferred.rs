//! Writes of the runner about its own runs, deferred until the database is needed. Most steps never need it, and a
//! transaction for each would cost more than the steps.

use std::sync::PoisonError;

use rusqlite::Connection;

use super::runs::{begin_job_run, end_job_run};
use super::{Db, Deferred, Trouble};
use crate::clock::Timestamp;
use crate::sqlite;
use crate::tracking::error::Result;
use crate::tracking::model::{NewRun, RunStatus, Tag};

/// The most writes that may wait.
const MANY: usize = 512;

impl Db {
    /// Defers the beginning of a run of the runner. Every query finds the run.
    pub(in crate::tracking) fn begin_later(&self, new: NewRun, tags: Vec<Tag>) -> Result<()> {
        self.later(Deferred::Begin(Box::new(new), tags))
    }

    /// Defers the end of a run of the runner.
    pub(in crate::tracking) fn end_later(&self, id: &str, status: RunStatus, time: Timestamp) -> Result<()> {
        self.later(Deferred::End(id.to_owned(), status, time))
    }

    /// Writes everything that was deferred.
    pub(in crate::tracking) fn flush(&self) -> Result<()> {
        self.read(|_| Ok(()))
    }

    fn later(&self, what: Deferred) -> Result<()> {
        let many = {
            let mut waiting = self.waiting();
            waiting.push(what);
            waiting.len() >= MANY
        };
        if many { self.flush() } else { Ok(()) }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Deferred>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything that was deferred, in one transaction. The caller has the connection, so nobody sees the
    /// database without it.
    pub(super) fn write_waiting(&self, connection: &mut Connection) -> Result<(), Trouble> {
        let waiting = std::mem::take(&mut *self.waiting());
        if waiting.is_empty() {
            return Ok(());
        }
        sqlite::write(connection, |transaction| {
            waiting.into_iter().try_for_each(|later| match later {
                Deferred::Begin(new, tags) => begin_job_run(transaction, self.base(), &new, &tags),
                Deferred::End(id, status, time) => end_job_run(transaction, &id, status, time),
            })
        })
    }
}
