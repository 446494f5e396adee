//! What was left by commands that were ended in the middle: copies that were to be registered, folders of runs that never
//! began. Nobody refers to it, and nobody writes to it any more.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::Failed;
use crate::registry::{AssetKind, Registry};
use crate::store::tree::PARTIAL;
use crate::store::{Home, RunFolder};

/// What can go of a workspace. The lock keeps others from copying anything until it is dropped.
pub(super) struct Leftovers {
    pub paths: Vec<PathBuf>,
    _alone: Option<std::fs::File>,
}

impl Leftovers {
    /// Looks for them; for none among copies while somebody is registering something.
    pub fn of(home: &Home) -> Result<Self, Failed> {
        let mut paths: Vec<PathBuf> = entries(&home.root().join("runs"))
            .filter(|path| is_partial(path))
            .filter(|path| !RunFolder { path: path.clone(), name: crate::id::RunName::generate() }.is_live())
            .collect();
        let copies = [home.data(), home.models().join("created")];
        if !copies.iter().any(|folder| folder.is_dir()) {
            return Ok(Self { paths, _alone: None });
        }
        let alone = home.copying()?;
        if alone.try_lock().is_err() {
            return Ok(Self { paths, _alone: None });
        }
        let known = known(home)?;
        for folder in copies {
            let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            paths.extend(entries(&real).filter(|path| !known.iter().any(|asset| asset.starts_with(path))));
        }
        Ok(Self { paths, _alone: Some(alone) })
    }
}

/// The places of all assets.
fn known(home: &Home) -> Result<HashSet<PathBuf>, Failed> {
    let mut known = HashSet::new();
    if home.registry_db().exists() {
        let registry = Registry::open(&home.registry_db())?;
        for kind in [AssetKind::Model, AssetKind::Data] {
            let assets = registry.list(kind, None)?.into_iter();
            known.extend(assets.map(|asset| asset.path.canonicalize().unwrap_or(asset.path)));
        }
    }
    Ok(known)
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}
