//! Where an address leads (for the moment: to web servers and blobs with credentials from the environment).

use std::path::PathBuf;

use super::config::Config;
use crate::secret::{Credential, Secret};
use crate::spec::data_uri::{BlobUri, DataUri};
use crate::store::Home;

/// A place that an address leads to.
pub(super) enum Place {
    Local(PathBuf),
    Blob { uri: BlobUri, credential: Credential },
    Web { url: String },
}

pub(super) struct Places;

impl Places {
    pub fn new(_home: Home, _config: &Config) -> Self {
        Self
    }

    pub fn resolve(&self, uri: &DataUri) -> Result<Place, String> {
        let connection = std::env::var("AZURE_STORAGE_CONNECTION_STRING").unwrap_or_default();
        let of = |key: &str| connection.split(';').find_map(|p| p.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
        let credential = Credential::AccountKey(Secret::new(of("AccountKey")));
        match uri {
            DataUri::Web { url } => Ok(match BlobUri::under(of("BlobEndpoint"), of("AccountName"), url) {
                Some(uri) => Place::Blob { uri, credential },
                None => Place::Web { url: url.clone() },
            }),
            other => Err(format!("{other} not yet")),
        }
    }
}
