//! Opens the SQLite databases of amlrun, all in the same way.
//!
//! Every database runs in WAL mode (readers never wait for a writer), waits for another process's lock instead of
//! failing, enforces foreign keys, and is readable by its owner only. Its tables come from a list of migrations;
//! SQLite's `user_version` is the number of migrations applied so far. This module must not know what the tables hold:
//! the registry and the tracking store bring their own migrations. A file that cannot be used is never modified.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

/// How long a statement waits for another process's lock before it fails.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// SQLite's error, as the source of the errors of modules with databases.
pub type SqlError = rusqlite::Error;

/// Why a database could not be opened. Each message begins with the path of the file.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The file is not a database, or is damaged.
    #[error(
        "{}: not a SQLite database, or damaged; nothing was changed. \
        Move it away to create a new one ({source})", path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// A newer amlrun has migrated the file to a format that this one does not know.
    #[error(
        "{}: written by a newer amlrun (format {found}, this one reads up to {known}); update amlrun", path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The file's format.
        found: usize,
        /// The newest format that this version knows.
        known: usize,
    },
    /// The file or its folder could not be created.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// SQLite failed in another way, such as a full disk or a lock held for too long.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
}

/// An error inside a transaction: the caller's own, or one of SQLite that still needs the file's name.
#[derive(Debug)]
pub enum Trouble<E> {
    /// The caller's error.
    Own(E),
    /// SQLite's error.
    Sql(SqlError),
}

impl<E> Trouble<E> {
    /// The caller's error, or the one that `name` makes from SQLite's.
    pub fn named(self, name: impl FnOnce(SqlError) -> E) -> E {
        match self {
            Self::Own(error) => error,
            Self::Sql(source) => name(source),
        }
    }
}

impl<E> From<SqlError> for Trouble<E> {
    fn from(source: SqlError) -> Self {
        Self::Sql(source)
    }
}

/// A connection that threads share. They take turns.
pub struct Shared(Mutex<Connection>);

impl Shared {
    /// Shares a connection.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// The connection. A thread that panicked left a rolled back transaction, so its lock can be taken over.
    pub fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes something in one transaction, exclusively among all processes. An error rolls it back.
///
/// # Errors
/// The error of `change`, or SQLite's.
pub fn write<T, E: From<SqlError>>(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    transact(connection, TransactionBehavior::Immediate, change)
}

/// Reads one state of the database, whatever other processes write meanwhile.
///
/// # Errors
/// The error of `ask`, or SQLite's.
pub fn read<T, E: From<SqlError>>(
    connection: &mut Connection,
    ask: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    transact(connection, TransactionBehavior::Deferred, ask)
}

fn transact<T, E: From<SqlError>>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Opens `path`, creates it (and its folder) if it does not exist, and applies the missing `migrations`. Migration
/// number n takes the file from format n to n + 1 in one IMMEDIATE transaction, so two processes can safely open a new
/// file at once.
///
/// # Errors
/// See [`SqliteError`].
pub fn open(path: &Path, migrations: &[&str]) -> Result<Connection, SqliteError> {
    make_private_file(path)?;
    let refused = |source| refusal(path, source);
    let mut db = Connection::open(path).map_err(refused)?;
    db.busy_timeout(BUSY_WAIT).map_err(refused)?;
    // A newer or damaged file must not be modified, so this check comes before the journal mode writes to it.
    check_version(&db, path, migrations.len())?;
    switch_to_wal(&db).map_err(refused)?;
    db.pragma_update(None, "synchronous", "NORMAL").map_err(refused)?;
    db.pragma_update(None, "foreign_keys", true).map_err(refused)?;
    db.set_prepared_statement_cache_capacity(64);
    loop {
        if check_version(&db, path, migrations.len())? == migrations.len() {
            return Ok(db);
        }
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused)?;
        // Read again under the lock: another process may have been faster.
        let version = check_version(&step, path, migrations.len())?;
        if let Some(migration) = migrations.get(version) {
            step.execute_batch(migration).map_err(refused)?;
            step.pragma_update(None, "user_version", as_i64(version + 1)).map_err(refused)?;
            step.commit().map_err(refused)?;
        }
    }
}

/// The file's format, if this version knows it.
fn check_version(db: &Connection, path: &Path, known: usize) -> Result<usize, SqliteError> {
    let found: i64 =
        db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|source| refusal(path, source))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > known {
        return Err(SqliteError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

fn as_i64(version: usize) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// The switch to WAL needs an exclusive lock for a moment, and SQLite returns "busy" without waiting when two processes
/// switch at once. The mode is stored in the file, so it is enough to wait for the other process's switch: an empty
/// IMMEDIATE transaction waits as long as any other.
fn switch_to_wal(db: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        match db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(_) => return Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries < 100 => {
                tries += 1;
                db.execute_batch("BEGIN IMMEDIATE; COMMIT")?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn refusal(path: &Path, source: rusqlite::Error) -> SqliteError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => SqliteError::Corrupt { path, source },
        _ => SqliteError::Sqlite { path, source },
    }
}

/// Creates the file with owner-only permissions before SQLite does. SQLite gives its `-wal` and `-shm` files the same
/// permissions.
fn make_private_file(path: &Path) -> Result<(), SqliteError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SqliteError::Io { path, source }
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io(folder))?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE words (word TEXT PRIMARY KEY)";
    const SECOND: &str = "ALTER TABLE words ADD COLUMN meaning TEXT";

    #[test]
    fn migrations_apply_once_and_data_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/words.db");
        open(&path, &[FIRST]).unwrap().execute("INSERT INTO words VALUES ('house')", []).unwrap();
        let db = open(&path, &[FIRST, SECOND]).unwrap();
        let word: String = db.query_row("SELECT word FROM words WHERE meaning IS NULL", [], |r| r.get(0)).unwrap();
        assert_eq!(word, "house");
        let mode: String = db.query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn many_openers_at_once_migrate_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.db");
        std::thread::scope(|scope| {
            let openers: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&path, &[FIRST, SECOND]).map(drop))).collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn a_newer_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.db");
        open(&path, &[FIRST, SECOND]).unwrap();
        let error = open(&path, &[FIRST]).unwrap_err().to_string();
        assert!(error.contains("words.db: written by a newer amlrun (format 2, this one reads up to 1)"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.db");
        let bytes = b"dear diary, this is long enough to be no database header at all".repeat(40);
        std::fs::write(&path, &bytes).unwrap();
        let error = open(&path, &[FIRST]).unwrap_err();
        assert!(matches!(error, SqliteError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("words.db"));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_failing_migration_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.db");
        open(&path, &[FIRST, "CREATE TABLE more (x); nonsense"]).unwrap_err();
        let db = open(&path, &[FIRST]).unwrap();
        assert_eq!(db.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'more'", [], |r| r.get(0)), Ok(0));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.db");
        let db = open(&path, &[FIRST]).unwrap();
        db.execute("INSERT INTO words VALUES ('secret')", []).unwrap();
        for name in ["words.db", "words.db-wal"] {
            let mode = folder.path().join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}
