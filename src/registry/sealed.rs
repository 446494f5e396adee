//! Checks whether the content of a version is unchanged. It is sealed, but every owner of the workspace can remove
//! the seal. Changed content is never served, because it does not match the version's digest.

use rusqlite::params;

use super::error::{RegistryError, Result};
use super::{Asset, Registry};
use crate::digest::Digest;
use crate::reuse::Listing;

impl Registry {
    /// Checks that a version's content is what was registered. It is read only if somebody touched it.
    ///
    /// # Errors
    /// [`RegistryError::Changed`] when it is changed or missing; [`RegistryError::Database`].
    pub fn intact(&self, asset: &Asset) -> Result<()> {
        if asset.uri().is_some() {
            return Ok(());
        }
        let key = [asset.kind().as_str(), &asset.name, &asset.version];
        let changed = |what: &str| RegistryError::Changed {
            kind: asset.kind(),
            id: format!("{}:{}", asset.name, asset.version),
            path: asset.path.clone(),
            what: what.to_owned(),
        };
        let Ok(listing) = Listing::of(&asset.path) else { return Err(changed("is missing or cannot be read")) };
        let now = listing.fingerprint().to_string();
        let known = self.read(|db| {
            let mut ask =
                db.prepare_cached("SELECT fingerprint FROM assets WHERE kind = ?1 AND name = ?2 AND version = ?3")?;
            Ok(ask.query_row(key, |row| row.get::<_, Option<String>>(0))?)
        })?;
        if known.is_some_and(|known| known == now) {
            return Ok(());
        }
        if !Digest::of_tree(&asset.path).is_ok_and(|digest| digest == asset.digest) {
            return Err(changed("was changed"));
        }
        // Somebody touched it, or it was registered before fingerprints existed. If the new one cannot be stored,
        // only the next check is slower.
        if listing.rested() {
            let [kind, name, version] = key;
            let _ = self.read(|db| {
                let mut put = db.prepare_cached(
                    "UPDATE assets SET fingerprint = ?4 WHERE kind = ?1 AND name = ?2 AND version = ?3",
                )?;
                Ok(put.execute(params![kind, name, version, now])?)
            });
        }
        Ok(())
    }
}
