//! The registry of a workspace, opened; the user hears when it had to be restored.

use std::path::Path;
use std::sync::Arc;

use crate::error::Failed;
use crate::registry::Registry;
use crate::store::Home;

/// The registry when there is one; looking makes none.
pub(crate) fn existing(home: &Home) -> Result<Option<Registry>, Failed> {
    home.check()?;
    Ok(open_existing(home)?)
}

/// The same where the workspace is known to be one of ours.
pub(crate) fn open_existing(home: &Home) -> crate::registry::Result<Option<Registry>> {
    let path = home.registry_db();
    if Registry::exists(&path) { open(&path).map(Some) } else { Ok(None) }
}

/// Opens a registry, and tells when it had to be restored.
pub(crate) fn open(path: &Path) -> crate::registry::Result<Registry> {
    let registry = Registry::open(path)?;
    if let Some(count) = registry.restored() {
        let shown = crate::report::summary::shown(path);
        let versions = if count == 1 { "1 version was" } else { &format!("{count} versions were") };
        log::warn!("{shown} was gone or empty: {versions} restored from its ledger");
    }
    Ok(registry)
}

/// The registry of a workspace, made when it is not there yet.
pub(crate) fn create(home: &Home) -> Result<Arc<Registry>, Failed> {
    home.create()?;
    Ok(Arc::new(open(&home.registry_db())?))
}
