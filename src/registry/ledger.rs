//! `registry.jsonl`: a second copy of the database, as lines that are only appended. If the database is missing or
//! empty, it is restored from this file, so that losing the database does not lose what was registered.
//!
//! A line has all rows of one change; the last line with a row counts. A line is written before the change is
//! committed, so everything in the database is also in the ledger.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::Trouble;
use super::kind::AssetKind;
use crate::clock::Timestamp;

type Columns = BTreeMap<String, Json>;

/// The rows of one name.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Line {
    container: Columns,
    /// All labels of the name, with their versions.
    labels: BTreeMap<String, String>,
    assets: Vec<Columns>,
}

/// The ledger of a database.
#[must_use]
pub(super) fn file(database: &Path) -> PathBuf {
    database.with_extension("jsonl")
}

/// Whether the database is empty, without even tables.
pub(super) fn is_gone(database: &Path) -> bool {
    fs::metadata(database).map_or(true, |metadata| metadata.len() == 0)
}

/// The ledger of a database to restore, locked so that only one process restores it. `None` if it does not exist.
pub(super) fn lock(ledger: &Path) -> Option<File> {
    let file = File::open(ledger).ok()?;
    file.lock().ok().map(|()| file)
}

/// Identifies the rows that a change touches: new rows, and rows that were updated since a time.
#[derive(Clone, Copy)]
pub(super) struct Touched {
    /// The last row before the change.
    last: i64,
    /// In milliseconds since 1970.
    since: i64,
}

impl Touched {
    const ALL: Self = Self { last: i64::MIN, since: i64::MIN };

    /// For a change that begins now.
    pub(super) fn from_now(db: &Connection) -> rusqlite::Result<Self> {
        let last = db.query_row("SELECT coalesce(max(id), 0) FROM assets", [], |row| row.get(0))?;
        Ok(Self { last, since: Timestamp::now().0 })
    }
}

/// Appends the rows of a change to a name.
pub(super) fn add(path: &Path, db: &Connection, kind: AssetKind, name: &str, touched: Touched) -> Result<(), Trouble> {
    let line = line(db, kind.as_str(), name, touched)?;
    // If the ledger cannot be written, registration continues: the database is what counts.
    let _ = append(path, &[line]);
    Ok(())
}

/// Writes the ledger of a database that an older amlrun made without one.
pub(super) fn begin(path: &Path, db: &Connection) -> Result<(), rusqlite::Error> {
    let names: Vec<(String, String)> = db
        .prepare("SELECT kind, name FROM containers")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let lines: Result<Vec<Line>, _> = names.iter().map(|(kind, name)| line(db, kind, name, Touched::ALL)).collect();
    let lines = lines?;
    if !lines.is_empty() {
        let _ = append(path, &lines);
    }
    Ok(())
}

/// Restores an empty database from its ledger and returns the number of its versions.
pub(super) fn restore(path: &Path, db: &mut Connection) -> Result<usize, rusqlite::Error> {
    let bytes = fs::read(path).unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    let transaction = db.transaction()?;
    for line in lines {
        let (Some(kind), Some(name)) = (text(&line.container, "kind"), text(&line.container, "name")) else { continue };
        put(&transaction, "containers", &line.container)?;
        for asset in &line.assets {
            put(&transaction, "assets", asset)?;
        }
        transaction.execute("DELETE FROM labels WHERE kind = ?1 AND name = ?2", [&kind, &name])?;
        for (label, version) in &line.labels {
            transaction.execute(
                "INSERT OR REPLACE INTO labels (kind, name, label, version)
                 SELECT kind, name, ?3, version FROM assets WHERE kind = ?1 AND name = ?2 AND version = ?4",
                [&kind, &name, label, version],
            )?;
        }
    }
    let count = transaction.query_row("SELECT count(*) FROM assets", [], |row| row.get::<_, i64>(0))?;
    transaction.commit()?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn line(db: &Connection, kind: &str, name: &str, touched: Touched) -> Result<Line, rusqlite::Error> {
    let container = db
        .prepare_cached("SELECT * FROM containers WHERE kind = ?1 AND name = ?2")?
        .query_map([kind, name], columns)?
        .next()
        .transpose()?
        .unwrap_or_default();
    let labels = db
        .prepare_cached("SELECT label, version FROM labels WHERE kind = ?1 AND name = ?2")?
        .query_map([kind, name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let assets = db
        .prepare_cached(
            "SELECT * FROM assets WHERE kind = ?1 AND name = ?2 AND (id > ?3 OR updated >= ?4) ORDER BY id",
        )?
        .query_map(params![kind, name, touched.last, touched.since], columns)?
        .collect::<Result<_, _>>()?;
    Ok(Line { container, labels, assets })
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let names: Vec<String> = row.as_ref().column_names().map(str::to_owned).collect();
    let value = |(index, name): (usize, String)| {
        let value = match row.get_ref(index)? {
            ValueRef::Integer(number) => Json::from(number),
            ValueRef::Real(number) => Json::from(number),
            ValueRef::Text(text) => Json::from(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Null | ValueRef::Blob(_) => Json::Null,
        };
        Ok((name, value))
    };
    names.into_iter().enumerate().map(value).collect()
}

/// Inserts a row into a table, without columns that the table does not have.
fn put(db: &Connection, table: &str, columns: &Columns) -> Result<(), rusqlite::Error> {
    let known: Vec<String> = db
        .prepare_cached("SELECT name FROM pragma_table_info(?1)")?
        .query_map([table], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let columns: Vec<(&String, &Json)> = columns.iter().filter(|(name, _)| known.contains(name)).collect();
    let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let places = vec!["?"; columns.len()].join(", ");
    let values = columns.iter().map(|(_, value)| match value {
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => number.as_i64().map_or(Value::Null, Value::Integer),
        _ => Value::Null,
    });
    // Not REPLACE, which would remove the row that other rows refer to.
    let changes = columns.iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT DO UPDATE SET {changes}");
    db.prepare_cached(&sql)?.execute(params_from_iter(values)).map(drop)
}

fn text(columns: &Columns, name: &str) -> Option<String> {
    columns.get(name)?.as_str().map(str::to_owned)
}

fn append(path: &Path, lines: &[Line]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    // A line that a full disk truncated must not merge with the next one.
    let mut last = [b'\n'];
    let length = file.metadata()?.len();
    if length > 0 && file.read_at(&mut last, length - 1)? == 1 && last != [b'\n'] {
        bytes.push(b'\n');
    }
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    file.write_all(&bytes)
}
