//! Opens the registry of a workspace, and tells the user if it was restored.

use std::path::Path;
use std::sync::Arc;

use crate::error::Failed;
use crate::registry::Registry;
use crate::store::Home;

/// The registry, if it exists. It is not created.
pub(crate) fn existing(home: &Home) -> Result<Option<Registry>, Failed> {
    home.check()?;
    Ok(open_existing(home)?)
}

/// The same, for a folder that is known to be a workspace of amlrun.
pub(crate) fn open_existing(home: &Home) -> crate::registry::Result<Option<Registry>> {
    let path = home.registry_db();
    if Registry::exists(&path) { open(&path).map(Some) } else { Ok(None) }
}

/// Opens a registry, and tells the user if it was restored.
pub(crate) fn open(path: &Path) -> crate::registry::Result<Registry> {
    let registry = Registry::open(path)?;
    if let Some(count) = registry.restored() {
        let shown = crate::report::summary::shown(path);
        let versions = if count == 1 { "1 version was" } else { &format!("{count} versions were") };
        log::warn!("{shown} was missing or empty: {versions} restored from its ledger");
    }
    Ok(registry)
}

/// The registry of a workspace. It is created if it does not exist.
pub(crate) fn create(home: &Home) -> Result<Arc<Registry>, Failed> {
    home.create()?;
    Ok(Arc::new(open(&home.registry_db())?))
}
