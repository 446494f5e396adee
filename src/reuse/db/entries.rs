//! The results of steps: the rows of `entries`, each a JSON record with columns to find it by.
//!
//! A record that cannot be read (another program wrote it) counts as missing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rusqlite::{Connection, OptionalExtension as _, Params};

use super::Db;
use crate::digest::Digest;
use crate::relative;
use crate::reuse::ReuseError;
use crate::reuse::entry::Entry;
use crate::reuse::listing::Fingerprint;
use crate::sqlite::SqlError;

/// How many records one thread reads.
const FEW: usize = 64;

const FIND: &str = "SELECT body FROM entries WHERE hash = ?1 AND offered = 1 ORDER BY id DESC LIMIT 1";

impl Db {
    pub(in crate::reuse) fn find(&self, hash: &Digest) -> Result<Option<Entry>, ReuseError> {
        self.read(|db| self.one(db, FIND, [hash.as_str()]))
    }

    pub(in crate::reuse) fn find_many(&self, hashes: &[Digest]) -> Result<HashMap<Digest, Entry>, ReuseError> {
        let bodies = self.read(|db| {
            // One snapshot for all queries, and one lock of the file instead of a thousand.
            let db = db.unchecked_transaction()?;
            let mut ask = db.prepare_cached(FIND)?;
            let mut bodies = Vec::with_capacity(hashes.len());
            for hash in hashes {
                if let Some(body) = ask.query_row([hash.as_str()], |row| row.get::<_, String>(0)).optional()? {
                    bodies.push((hash, body));
                }
            }
            Ok(bodies)
        })?;
        let read = |(hash, body): (&Digest, String)| Some((hash.clone(), self.entry(&body)?));
        if bodies.len() <= FEW {
            return Ok(bodies.into_iter().filter_map(read).collect());
        }
        Ok(bodies.into_par_iter().with_min_len(FEW).filter_map(read).collect::<Vec<_>>().into_iter().collect())
    }

    pub(in crate::reuse) fn has_shape(&self, shape: &Digest) -> Result<bool, ReuseError> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM entries WHERE shape = ?1 AND offered")?.exists([shape.as_str()])
        })
    }

    pub(in crate::reuse) fn last(&self, scope: &str, step: &str) -> Result<Option<Entry>, ReuseError> {
        let ask = "SELECT body FROM entries WHERE scope = ?1 AND step = ?2 ORDER BY id DESC LIMIT 1";
        self.read(|db| self.one(db, ask, [scope, step]))
    }

    pub(in crate::reuse) fn keep(&self, entries: &[Entry]) -> Result<(), ReuseError> {
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let body = serde_json::to_string(&self.kept(entry.clone()))
                .map_err(|source| ReuseError::Record { step: entry.step.clone(), source })?;
            rows.push((entry, entry.key.hash(), entry.key.shape(), body));
        }
        self.write(|db| {
            let mut replace = db.prepare_cached(
                "DELETE FROM entries WHERE hash = ?1 AND offered = ?2 AND scope = ?3 AND step = ?4 AND places = ?5",
            )?;
            let mut put = db.prepare_cached(
                "INSERT INTO entries (hash, shape, scope, step, run, offered, places, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            let mut put_output = db.prepare_cached("INSERT OR IGNORE INTO outputs VALUES (?1, ?2)")?;
            for (entry, hash, shape, body) in &rows {
                let paths: Vec<_> = entry.outputs.iter().map(|kept| self.text(&kept.path)).collect();
                let places = Digest::of(paths.join("\n").as_bytes());
                let (hash, shape, places) = (hash.as_str(), shape.as_str(), places.short());
                replace.execute((hash, entry.offered, &entry.scope, &entry.step, places))?;
                put.execute((hash, shape, &entry.scope, &entry.step, &entry.run, entry.offered, places, body))?;
                let id = db.last_insert_rowid();
                for path in &paths {
                    put_output.execute((path, id))?;
                }
            }
            Ok(())
        })
    }

    pub(in crate::reuse) fn refreshed(&self, outputs: &[(PathBuf, Fingerprint)]) -> Result<(), ReuseError> {
        if outputs.is_empty() {
            return Ok(());
        }
        self.write(|db| {
            let mut ask =
                db.prepare_cached("SELECT id, body FROM entries JOIN outputs ON entry = id WHERE path = ?1")?;
            let mut put = db.prepare_cached("UPDATE entries SET body = ?2 WHERE id = ?1")?;
            for (path, fingerprint) in outputs {
                let rows =
                    ask.query_map([self.text(path)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
                for (id, body) in rows.collect::<Result<Vec<_>, _>>()? {
                    let Some(mut entry) = self.entry(&body) else { continue };
                    let same = entry.outputs.iter_mut().filter(|kept| kept.path == *path);
                    same.for_each(|kept| kept.fingerprint = fingerprint.clone());
                    if let Ok(body) = serde_json::to_string(&self.kept(entry)) {
                        put.execute((id, body))?;
                    }
                }
            }
            Ok(())
        })
    }

    pub(in crate::reuse) fn forget(&self, hashes: &[Digest]) -> Result<(), ReuseError> {
        self.delete("DELETE FROM entries WHERE hash = ?1", hashes.iter().map(|hash| hash.as_str().to_owned()))
    }

    pub(in crate::reuse) fn forget_runs(&self, runs: &[String]) -> Result<(), ReuseError> {
        self.delete("DELETE FROM entries WHERE run = ?1", runs.iter().cloned())
    }

    pub(in crate::reuse) fn forget_paths(&self, paths: &[PathBuf]) -> Result<(), ReuseError> {
        let delete = "DELETE FROM entries WHERE id IN (SELECT entry FROM outputs WHERE path = ?1)";
        self.delete(delete, paths.iter().map(|path| self.text(path)))
    }

    fn delete(&self, delete: &str, what: impl Iterator<Item = String>) -> Result<(), ReuseError> {
        self.write(|db| {
            let mut delete = db.prepare_cached(delete)?;
            for what in what {
                delete.execute([what])?;
            }
            Ok(())
        })
    }

    pub(in crate::reuse) fn entries(&self) -> Result<Vec<Entry>, ReuseError> {
        let bodies = self.read(|db| super::texts(db, "SELECT body FROM entries ORDER BY id"))?;
        Ok(bodies.iter().filter_map(|body| self.entry(body)).collect())
    }

    fn one(&self, db: &Connection, ask: &str, by: impl Params) -> Result<Option<Entry>, SqlError> {
        let mut ask = db.prepare_cached(ask)?;
        let read = |row: &rusqlite::Row<'_>| Ok(row.get_ref(0)?.as_str().ok().and_then(|body| self.entry(body)));
        Ok(ask.query_row(by, read).optional()?.flatten())
    }

    /// An entry in the form that is stored.
    fn kept(&self, mut entry: Entry) -> Entry {
        entry.outputs.iter_mut().for_each(|kept| kept.path = relative::to(&self.base, &kept.path));
        entry
    }

    /// The entry of a stored record.
    fn entry(&self, body: &str) -> Option<Entry> {
        let mut entry: Entry = serde_json::from_str(body).ok()?;
        entry.outputs.iter_mut().for_each(|kept| kept.path = relative::from(&self.base, &kept.path));
        Some(entry)
    }

    fn text(&self, path: &Path) -> String {
        relative::to(&self.base, path).to_string_lossy().into_owned()
    }
}
