//! The tables of `amlrun.toml` about storage: locations of datastores, endpoints of accounts, settings of transfers.
//!
//! ```toml
//! [datastores.workspaceblobstore]           # a datastore that the YAML names
//! folder = "samples/blobstore"              # a folder here, relative to this file
//!
//! [datastores.training]
//! container = "https://mystorage.blob.core.windows.net/training/v2"   # or a container, with a path in it
//! sas_token = { env = "TRAINING_SAS" }      # or account_key; or { file = "PATH" }
//!
//! [accounts.devstoreaccount1]               # an account, wherever its name stands
//! endpoint = "http://127.0.0.1:10000/devstoreaccount1"
//! account_key = { env = "AZURITE_KEY" }
//!
//! [transfer]
//! jobs = 8                                  # connections at once
//! stall = 60                                # seconds without a byte until a connection is dropped
//! retry_timeout = 600                       # seconds for which failed requests are retried
//! ```

use std::path::PathBuf;

use serde::Deserialize;

use super::secret_ref::{CredentialRef, SecretRef};
use crate::azure::host::Host;
use crate::secret::mask_signatures;

/// The settings of a datastore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "DatastoreTable")]
pub(crate) struct DatastoreRules {
    /// Its location. `None` if only the credentials of a created datastore are set.
    pub place: Option<DatastorePlace>,
    /// Its credentials.
    pub credential: Option<CredentialRef>,
}

/// The location of a datastore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatastorePlace {
    /// A folder, relative to the file.
    Folder(PathBuf),
    /// A container's address, which may include a path in it.
    Container(String),
}

/// The settings of a storage account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "AccountTable")]
pub(crate) struct AccountRules {
    /// The endpoint of its blob service, without a trailing slash.
    pub endpoint: Option<String>,
    /// Its credentials.
    pub credential: Option<CredentialRef>,
}

/// The settings of transfers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Transfer {
    /// How many connections are open at once.
    #[serde(deserialize_with = "positive")]
    pub jobs: Option<u16>,
    /// Seconds without a byte until a connection is dropped.
    #[serde(deserialize_with = "positive")]
    pub stall: Option<u64>,
    /// Seconds for which failed requests are retried.
    pub retry_timeout: Option<u64>,
    /// The former name of `retry_timeout`.
    pub patience: Option<u64>,
}

/// Reads a number greater than zero.
fn positive<'de, D: serde::Deserializer<'de>, N: Deserialize<'de> + Default + PartialEq>(
    from: D,
) -> Result<Option<N>, D::Error> {
    let number = N::deserialize(from)?;
    if number == N::default() {
        return Err(serde::de::Error::custom("it must be 1 or more"));
    }
    Ok(Some(number))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatastoreTable {
    folder: Option<PathBuf>,
    container: Option<String>,
    account_key: Option<SecretRef>,
    sas_token: Option<SecretRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountTable {
    endpoint: Option<String>,
    account_key: Option<SecretRef>,
    sas_token: Option<SecretRef>,
}

impl TryFrom<DatastoreTable> for DatastoreRules {
    type Error = String;

    fn try_from(table: DatastoreTable) -> Result<Self, String> {
        let credential = CredentialRef::of(table.account_key, table.sas_token)?;
        let place = match (table.folder, table.container) {
            (Some(_), Some(_)) => return Err("a datastore has a folder or a container, not both".to_owned()),
            (Some(_), None) if credential.is_some() => {
                return Err("a local folder cannot have account_key or sas_token".to_owned());
            }
            (Some(folder), None) => Some(DatastorePlace::Folder(folder)),
            (None, Some(container)) => Some(DatastorePlace::Container(address(&container, "container")?)),
            (None, None) if credential.is_none() => {
                return Err("the datastore has no location: add folder = \"PATH\" or container = \"URL\"".to_owned());
            }
            (None, None) => None,
        };
        Ok(Self { place, credential })
    }
}

impl TryFrom<AccountTable> for AccountRules {
    type Error = String;

    fn try_from(table: AccountTable) -> Result<Self, String> {
        let endpoint = table.endpoint.map(|text| address(&text, "endpoint")).transpose()?;
        if endpoint.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err("an endpoint must begin with http:// or https://".to_owned());
        }
        Ok(Self { endpoint, credential: CredentialRef::of(table.account_key, table.sas_token)? })
    }
}

/// An address without a signature and without trailing slashes.
fn address(text: &str, field: &str) -> Result<String, String> {
    let mut masked = text.to_owned();
    mask_signatures(&mut masked);
    if masked != text {
        return Err(format!("remove the signature from {field}, and add sas_token = {{ env = \"NAME\" }}"));
    }
    let is_of_the_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    let is_root = text.contains("://") && !text.contains('?');
    if !is_root || (is_of_the_web || field == "endpoint") && Host::of(text).is_none() {
        return Err(format!("'{text}' is not a valid URL for {field}: use https://…"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}
