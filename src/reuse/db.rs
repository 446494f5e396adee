//! The database of reuse: its tables, its one connection, its transactions, and the queries about trees.
//!
//! `trees` is the stat cache, with one row for each place. `manifests` has the files of trees, with one row for each
//! digest, shared by all places and entries with that digest. The queries about results of steps are in [`entries`].

mod entries;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction};
use serde::de::DeserializeOwned;

use super::error::ReuseError;
use super::listing::Fingerprint;
use super::machine::{Machine, Python};
use super::manifest::{Earlier, Manifest, Stat};
use crate::digest::Digest;
use crate::sqlite::{self, SqlError, SqliteError};

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE manifests (
    digest TEXT PRIMARY KEY,
    files  BLOB NOT NULL
);

-- The large column comes last: what only asks for the others does not read it.
CREATE TABLE trees (
    place       TEXT PRIMARY KEY,
    digest      TEXT NOT NULL,
    fingerprint TEXT, -- NULL: some file's stat proves nothing
    stats       BLOB NOT NULL
);

CREATE TABLE entries (
    id      INTEGER PRIMARY KEY AUTOINCREMENT, -- the newest has the greatest, whatever the clock says
    hash    TEXT NOT NULL,
    shape   TEXT NOT NULL,
    scope   TEXT NOT NULL,
    step    TEXT NOT NULL,
    run     TEXT NOT NULL,
    offered INTEGER NOT NULL,
    places  TEXT NOT NULL, -- the digest of its outputs' paths
    body    TEXT NOT NULL
);
CREATE INDEX entries_by_hash ON entries (hash, offered, id);
CREATE INDEX entries_by_shape ON entries (shape) WHERE offered;
CREATE INDEX entries_by_step ON entries (scope, step, id);

CREATE TABLE outputs (
    path  TEXT NOT NULL,
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE,
    PRIMARY KEY (path, entry)
) WITHOUT ROWID;
CREATE INDEX outputs_by_entry ON outputs (entry);
",
    // Newer digests also contain execute bits, empty folders and the targets of links. The old ones are not
    // sufficient to reuse anything.
    "DELETE FROM outputs; DELETE FROM entries; DELETE FROM trees; DELETE FROM manifests;
CREATE TABLE machines (
    digest TEXT PRIMARY KEY,
    body   TEXT NOT NULL
);",
];

/// The page cache in KiB (SQLite counts KiB with a minus sign): the rows of some thousand steps.
const CACHE: i64 = -16 << 10;

/// The database file of a folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("reuse.db")
}

/// The database. Threads take turns.
pub(super) struct Db {
    folder: PathBuf,
    /// Paths of outputs are relative to this folder.
    base: PathBuf,
    connection: sqlite::Shared,
}

impl Db {
    pub(super) fn open(folder: &Path, base: &Path) -> Result<Self, ReuseError> {
        let connection = sqlite::open(&file(folder), MIGRATIONS).map_err(|error| match error {
            SqliteError::Corrupt { path, source } => {
                ReuseError::Damaged { path, folder: folder.to_owned(), said: source.to_string() }
            }
            other => ReuseError::Open(other),
        })?;
        let db = Self { folder: folder.to_owned(), base: base.to_owned(), connection: sqlite::Shared::new(connection) };
        db.read(|db| db.pragma_update(None, "cache_size", CACHE))?;
        Ok(db)
    }

    /// Runs a query that changes nothing.
    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, SqlError>) -> Result<T, ReuseError> {
        ask(&self.connection.lock()).map_err(|source| self.explain(source))
    }

    /// Changes something in one transaction, exclusively among all threads and processes.
    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, SqlError>) -> Result<T, ReuseError> {
        sqlite::write(&mut self.connection.lock(), change).map_err(|source| self.explain(source))
    }

    fn explain(&self, source: SqlError) -> ReuseError {
        let path = file(&self.folder);
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                ReuseError::Damaged { path, folder: self.folder.clone(), said: source.to_string() }
            }
            _ => ReuseError::Database { path, source },
        }
    }

    pub(super) fn size(&self) -> u64 {
        let of = |end: &str| self.folder.join(format!("reuse.db{end}")).metadata().map_or(0, |m| m.len());
        ["", "-wal", "-shm"].into_iter().map(of).sum()
    }

    /// The digest of a tree when it was last read, and the fingerprint that shows whether it is still valid.
    pub(super) fn tree(&self, place: &str) -> Result<Option<(Digest, Option<Fingerprint>)>, ReuseError> {
        self.read(|db| {
            let mut ask = db.prepare_cached("SELECT digest, fingerprint FROM trees WHERE place = ?1")?;
            ask.query_row([place], |row| {
                Ok((digest(row.get(0)?), row.get::<_, Option<String>>(1)?.map(Fingerprint::from_text)))
            })
            .optional()
        })
    }

    /// The files of a tree when it was last read; `None` if they are not known.
    pub(super) fn earlier(&self, place: &str) -> Result<Option<Earlier>, ReuseError> {
        let found = self.read(|db| {
            let mut ask =
                db.prepare_cached("SELECT stats, files FROM trees JOIN manifests USING (digest) WHERE place = ?1")?;
            ask.query_row([place], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()
        })?;
        Ok(found.and_then(|(stats, files)| {
            Some(Earlier { manifest: Manifest::from_bytes(&files)?, stats: Stat::all_from_bytes(&stats)? })
        }))
    }

    pub(super) fn put_tree(
        &self,
        place: &str,
        digest: &Digest,
        trusted: Option<&Fingerprint>,
        manifest: &Manifest,
        stats: &[Stat],
    ) -> Result<(), ReuseError> {
        let stats = Stat::all_to_bytes(stats);
        self.write(|db| {
            put_manifest(db, digest, manifest)?;
            let mut put = db.prepare_cached("INSERT OR REPLACE INTO trees VALUES (?1, ?2, ?3, ?4)")?;
            put.execute((place, digest.as_str(), trusted.map(Fingerprint::as_str), stats)).map(drop)
        })
    }

    pub(super) fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, ReuseError> {
        let found = self.read(|db| {
            let mut ask = db.prepare_cached("SELECT files FROM manifests WHERE digest = ?1")?;
            ask.query_row([digest.as_str()], |row| row.get::<_, Vec<u8>>(0)).optional()
        })?;
        Ok(found.and_then(|bytes| Manifest::from_bytes(&bytes)))
    }

    pub(super) fn put_manifests(&self, manifests: &[(&Digest, &Manifest)]) -> Result<(), ReuseError> {
        self.write(|db| manifests.iter().try_for_each(|(digest, manifest)| put_manifest(db, digest, manifest)))
    }

    /// A description of a machine or a Python, by its digest.
    pub(super) fn described<T: DeserializeOwned>(&self, digest: &Digest) -> Result<Option<T>, ReuseError> {
        let body: Option<String> = self.read(|db| {
            let mut ask = db.prepare_cached("SELECT body FROM machines WHERE digest = ?1")?;
            ask.query_row([digest.as_str()], |row| row.get(0)).optional()
        })?;
        Ok(body.and_then(|body| serde_json::from_str(&body).ok()))
    }

    pub(super) fn put_machines(&self, machines: &[Machine], pythons: &[Python]) -> Result<(), ReuseError> {
        let body = |value: Result<String, _>| value.unwrap_or_default();
        let machines = machines.iter().map(|machine| (machine.digest(), body(serde_json::to_string(machine))));
        let pythons = pythons.iter().map(|python| (python.digest(), body(serde_json::to_string(python))));
        let rows: Vec<_> = machines.chain(pythons).collect();
        self.write(|db| {
            let mut put = db.prepare_cached("INSERT OR IGNORE INTO machines VALUES (?1, ?2)")?;
            rows.iter().try_for_each(|(digest, body)| put.execute((digest.as_str(), body)).map(drop))
        })
    }

    /// Removes rows of the stat cache whose place is gone, and manifests and machines that nothing refers to.
    pub(super) fn prune(&self) -> Result<usize, ReuseError> {
        let entries = self.entries()?;
        let outputs = entries.iter().flat_map(|entry| entry.outputs.iter().map(|kept| &kept.digest));
        let machines = entries.iter().filter_map(|entry| entry.key.machine.as_ref());
        let trees = entries.iter().flat_map(|entry| entry.key.trees()).chain(outputs);
        let named: HashSet<&Digest> = trees.chain(machines).collect();
        let dropped = self.write(|db| {
            let places = texts(db, "SELECT place FROM trees")?;
            let gone: Vec<_> = places.iter().filter(|place| !exists(place)).collect();
            for place in &gone {
                db.execute("DELETE FROM trees WHERE place = ?1", [place])?;
            }
            let unused = texts(db, "SELECT digest FROM manifests WHERE digest NOT IN (SELECT digest FROM trees)")?;
            let unused: Vec<_> = unused.into_iter().map(digest).filter(|digest| !named.contains(digest)).collect();
            for digest in &unused {
                db.execute("DELETE FROM manifests WHERE digest = ?1", [digest.as_str()])?;
            }
            let machines = texts(db, "SELECT body FROM machines")?;
            let machines = machines.iter().filter_map(|body| serde_json::from_str::<Machine>(body).ok());
            let wanted = machines.filter(|machine| named.contains(&machine.digest()));
            let pythons: HashSet<Digest> = wanted.flat_map(|machine| machine.pythons.into_values()).collect();
            let all = texts(db, "SELECT digest FROM machines")?.into_iter().map(digest);
            let left: Vec<_> = all.filter(|digest| !named.contains(digest) && !pythons.contains(digest)).collect();
            for digest in &left {
                db.execute("DELETE FROM machines WHERE digest = ?1", [digest.as_str()])?;
            }
            Ok(gone.len() + unused.len() + left.len())
        })?;
        // Another process that is reading may prevent this. Then the next call does it.
        let _ = self.read(|db| db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)"));
        Ok(dropped)
    }
}

fn put_manifest(db: &Connection, digest: &Digest, manifest: &Manifest) -> Result<(), SqlError> {
    let known = db.prepare_cached("SELECT 1 FROM manifests WHERE digest = ?1")?.exists([digest.as_str()])?;
    if !known {
        let mut put = db.prepare_cached("INSERT INTO manifests VALUES (?1, ?2)")?;
        put.execute((digest.as_str(), manifest.to_bytes()))?;
    }
    Ok(())
}

/// Whether the tree of a place still exists. A place is a path, possibly with a word and `:` before it, and `+` and a
/// word after it.
fn exists(place: &str) -> bool {
    let path = place.split_once(':').map_or(place, |(_, path)| path);
    let shorter = path.rsplit_once('+').map_or(path, |(path, _)| path);
    [place, path, shorter].into_iter().any(|path| Path::new(path).exists())
}

fn texts(db: &Connection, ask: &str) -> Result<Vec<String>, SqlError> {
    db.prepare(ask)?.query_map([], |row| row.get(0))?.collect()
}

fn digest(text: String) -> Digest {
    Digest::from_text(text)
}
