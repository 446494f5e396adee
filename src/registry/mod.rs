//! The workspace's assets: models and data, by name and version, in `registry.db`.
//!
//! An asset is a name, a version and sealed bytes somewhere on disk, with what is known of their making. Versions are
//! never changed or reused; only words about them are (description, tags, stage, labels). Numbers for new versions are
//! taken inside one IMMEDIATE transaction, so any number of threads and processes can register at once.
//!
//! Refuses to know who seals the bytes, how they are fetched, or what a model means: `path` is believed. The runner
//! registers named outputs here, the tracking server what arrives by MLflow's model registry, `cli` lists and shows.
//! Registered components are files: [`component`] keeps them beside the database, [`footprint`] tells which files one
//! needs. Datastores are files, too ([`datastore`]); what opens them lies outside of every workspace ([`credentials`]).
//!
//! [`asset`] holds the records and their rules, [`schema`] the tables, [`versions`] and [`containers`] the questions.

pub mod asset;
pub mod component;
pub mod containers;
pub mod credentials;
pub mod datastore;
pub mod datastores;
mod error;
pub mod footprint;
mod kind;
mod ledger;
mod rows;
mod schema;
mod sealed;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod versions;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use asset::{Asset, AssetType, NewAsset, Selector};
pub use component::{ComponentStore, ComponentVersion};
pub use credentials::Credentials;
pub use datastore::Datastore;
pub use datastores::DatastoreStore;
pub use error::{RegistryError, Result};
pub use kind::AssetKind;
pub use rows::AssetContainer;

use crate::relative;
use crate::sqlite::{self};
use error::Trouble;

/// The assets of one workspace. May be shared between threads, which take turns.
pub struct Registry {
    path: PathBuf,
    /// The folder of the database, to which the paths of assets are relative.
    base: PathBuf,
    /// How many versions were restored when it was opened.
    restored: Option<usize>,
    db: Mutex<Connection>,
}

impl Registry {
    /// Opens the registry kept in the file `path`, which is made (with its folder) when it does not exist. One that is
    /// gone or empty is restored from its ledger: see [`Registry::restored`].
    ///
    /// # Errors
    /// [`RegistryError::Open`].
    pub fn open(path: &Path) -> Result<Self> {
        let ledger = ledger::file(path);
        // Two that find it gone restore it one after the other, and the second finds it there.
        let restoring = if ledger::is_gone(path) { ledger::lock(&ledger) } else { None };
        let restores = restoring.is_some() && ledger::is_gone(path);
        if restores {
            // What SQLite left of the old file belongs to no database any more.
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(path.with_extension(format!("db{end}")));
            }
        }
        let mut db = sqlite::open(path, schema::MIGRATIONS)?;
        let failed = |source| RegistryError::Database { path: path.to_owned(), source };
        let restored = if restores {
            Some(ledger::restore(&ledger, &mut db).map_err(failed)?)
        } else {
            if !ledger.exists() {
                ledger::begin(&ledger, &db).map_err(failed)?;
            }
            None
        };
        let base = path.parent().unwrap_or(path).to_owned();
        Ok(Self { path: path.to_owned(), base, restored, db: Mutex::new(db) })
    }

    /// Whether there is a registry in the file `path`, or what one can be restored from.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.exists() || ledger::file(path).exists()
    }

    /// How many versions were restored because the database was gone or empty when it was opened.
    #[must_use]
    pub fn restored(&self) -> Option<usize> {
        self.restored
    }

    /// An asset with its path as it is on this machine.
    fn placed(&self, asset: Asset) -> Asset {
        Asset { path: relative::from(&self.base, &asset.path), ..asset }
    }

    /// The connection; what a panicking thread left behind is a rolled back transaction, so its lock can be taken over.
    fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks something that changes nothing.
    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T> {
        ask(&self.db()).map_err(|trouble| self.explain(trouble))
    }

    /// Changes something of a name, wholly or not at all, alone among all threads and processes.
    fn write<T>(
        &self,
        kind: AssetKind,
        name: &str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>,
    ) -> Result<T> {
        let mut db = self.db();
        let changed = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Trouble::from);
        let changed = changed.and_then(|transaction| {
            let touched = ledger::Touched::from_now(&transaction)?;
            let value = change(&transaction)?;
            ledger::add(&ledger::file(&self.path), &transaction, kind, name, touched)?;
            transaction.commit()?;
            Ok(value)
        });
        changed.map_err(|trouble| self.explain(trouble))
    }

    fn explain(&self, trouble: Trouble) -> RegistryError {
        match trouble {
            Trouble::Said(error) => error,
            Trouble::Database(source) => RegistryError::Database { path: self.path.clone(), source },
        }
    }
}
