//! Leftovers of interrupted commands: copies for assets that were never registered, and folders of runs that never
//! started. Nothing refers to them, and nothing writes to them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Failed;
use crate::fs::atomic::PARTIAL;
use crate::registry::{AssetKind, Registry};
use crate::store::{Home, RunFolder};

/// What can be removed from a workspace. No asset can be copied until this value, which may hold a lock, is dropped.
pub(crate) struct Leftovers {
    pub paths: Vec<PathBuf>,
    _alone: Option<std::fs::File>,
}

impl Leftovers {
    /// Finds the leftovers. Copies are skipped while another process is registering an asset.
    pub(crate) fn of(home: &Home) -> Result<Self, Failed> {
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
        let since = std::fs::metadata(home.registry_db()).and_then(|database| database.created()).ok();
        for folder in copies {
            let unknown = entries(&folder).filter(|path| !known.contains(path.file_name().unwrap_or_default()));
            paths.extend(unknown.filter(|path| is_partial(path) || since.is_some_and(|since| is_younger(path, since))));
        }
        Ok(Self { paths, _alone: Some(alone) })
    }
}

/// The names of all folders in the paths of assets. Only names count, because the workspace may have been moved since.
fn known(home: &Home) -> Result<HashSet<OsString>, Failed> {
    let mut known = HashSet::new();
    if Registry::exists(&home.registry_db()) {
        let registry = Registry::open(&home.registry_db())?;
        for kind in [AssetKind::Model, AssetKind::Data] {
            for asset in registry.list(kind, None)? {
                known.extend(asset.path.iter().map(ToOwned::to_owned));
            }
        }
    }
    Ok(known)
}

/// Whether a copy is newer than the registry. An older one may belong to a registry that was lost.
fn is_younger(path: &Path, registry: SystemTime) -> bool {
    let changed = std::fs::symlink_metadata(path).ok().and_then(|metadata| {
        let seconds = u64::try_from(metadata.ctime()).ok()?;
        Some(UNIX_EPOCH + Duration::new(seconds, u32::try_from(metadata.ctime_nsec()).ok()?))
    });
    changed.is_some_and(|changed| changed > registry)
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}
