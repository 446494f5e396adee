//! The workspace's assets: models and data, by name and version, in `registry.db`.
//!
//! An asset is a name, a version and sealed content on disk, with its origin. Versions are never changed or reused;
//! only their description, tags, stage and labels change. Version numbers are assigned inside one IMMEDIATE
//! transaction, so any number of threads and processes can register at the same time.
//!
//! This module does not know who seals the content, how it is fetched, or what a model means: it trusts `path`. The
//! runner registers named outputs here, the tracking server registers what arrives through MLflow's model registry,
//! and the command line lists and shows. Registered components and environments are files: [`copies`] stores them beside
//! the database, and [`footprint`] finds the files that one needs. Datastores are files, too ([`datastore`]); their
//! credentials are stored outside every workspace ([`credentials`]).
//!
//! [`asset`] has the records and their rules, [`schema`] the tables, [`versions`] and [`containers`] the queries.

pub mod asset;
pub mod component;
pub mod containers;
pub mod copies;
pub mod credentials;
pub mod datastore;
pub mod datastores;
pub mod environment;
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

use rusqlite::{Connection, Transaction};

pub use asset::{Asset, AssetType, NewAsset, Selector};
pub use component::{ComponentStore, ComponentVersion};
pub use credentials::Credentials;
pub use datastore::Datastore;
pub use datastores::DatastoreStore;
pub use environment::{EnvironmentStore, EnvironmentVersion};
pub use error::{RegistryError, Result};
pub use kind::AssetKind;
pub use rows::AssetContainer;

use crate::relative;
use crate::sqlite::{self};
use error::Trouble;

/// The assets of one workspace. Threads may share it; they take turns.
pub struct Registry {
    path: PathBuf,
    /// The folder of the database. Paths of assets are relative to it.
    base: PathBuf,
    /// How many versions were restored when it was opened.
    restored: Option<usize>,
    db: sqlite::Shared,
}

impl Registry {
    /// Opens the registry in the file `path`, which is made (with its folder) if it does not exist. A missing or
    /// empty one is restored from its ledger: see [`Registry::restored`].
    ///
    /// # Errors
    /// [`RegistryError::Open`].
    pub fn open(path: &Path) -> Result<Self> {
        let ledger = ledger::file(path);
        // If two processes find it missing, they restore it one after the other, and the second finds it there.
        let restoring = if ledger::is_gone(path) { ledger::lock(&ledger) } else { None };
        let restores = restoring.is_some() && ledger::is_gone(path);
        if restores {
            // These files belonged to the old database.
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
        Ok(Self { path: path.to_owned(), base, restored, db: sqlite::Shared::new(db) })
    }

    /// Whether there is a registry in the file `path`, or a ledger to restore it from.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.exists() || ledger::file(path).exists()
    }

    /// How many versions were restored because the database was missing or empty.
    #[must_use]
    pub fn restored(&self) -> Option<usize> {
        self.restored
    }

    /// An asset with its absolute path on this machine.
    fn placed(&self, asset: Asset) -> Asset {
        Asset { path: relative::from(&self.base, &asset.path), ..asset }
    }

    /// Runs a query that changes nothing.
    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T> {
        ask(&self.db.lock()).map_err(|trouble| self.explain(trouble))
    }

    /// Changes something of a name in one transaction, exclusively among all threads and processes.
    fn write<T>(
        &self,
        kind: AssetKind,
        name: &str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>,
    ) -> Result<T> {
        let changed = sqlite::write(&mut self.db.lock(), |transaction| {
            let touched = ledger::Touched::from_now(transaction)?;
            let value = change(transaction)?;
            ledger::add(&ledger::file(&self.path), transaction, kind, name, touched)?;
            Ok(value)
        });
        changed.map_err(|trouble| self.explain(trouble))
    }

    fn explain(&self, trouble: Trouble) -> RegistryError {
        trouble.named(|source| RegistryError::Database { path: self.path.clone(), source })
    }
}
