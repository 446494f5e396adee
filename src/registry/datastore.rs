//! The definition of a datastore: a name for a container in a storage account (reference, section 9.5).
//!
//! It says which kind of credential is needed and never contains the secret itself, which is stored in
//! [`super::credentials`]. [`super::datastores`] stores definitions. This module does not check whether the container
//! exists.

use std::collections::BTreeMap;

use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Why a definition was not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum DatastoreError {
    /// An invalid name or field.
    #[error("{0}")]
    Invalid(String),
    /// The datastore does not exist.
    #[error(
        "the datastore '{name}' was not found in this workspace{}",
        near.as_ref().map(|n| format!("; did you mean '{n}'?")).unwrap_or_default()
    )]
    Unknown {
        /// The name that was given.
        name: String,
        /// A similar name that exists.
        near: Option<String>,
    },
    /// The content of the file is not valid.
    #[error("{}: not a valid datastore definition: remove the file and create the datastore again", .0.display())]
    Damaged(PathBuf),
    /// An error of the file system.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The kind of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatastoreKind {
    /// A blob container.
    AzureBlob,
    /// A file share.
    AzureFile,
    /// A file system with real folders.
    AzureDataLakeGen2,
    /// Its predecessor, which the cloud no longer has.
    AzureDataLakeGen1,
    /// A lakehouse of Fabric.
    OneLake,
}

impl DatastoreKind {
    /// All kinds, by their values in YAML.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("azure_blob", Self::AzureBlob),
        ("azure_file", Self::AzureFile),
        ("azure_data_lake_gen2", Self::AzureDataLakeGen2),
        ("azure_data_lake_gen1", Self::AzureDataLakeGen1),
        ("one_lake", Self::OneLake),
    ];

    /// The kind with that value.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
    }

    /// The value in YAML and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The name for messages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::AzureBlob => "an Azure blob container",
            Self::AzureFile => "an Azure file share",
            Self::AzureDataLakeGen2 => "an Azure Data Lake Gen2 file system",
            Self::AzureDataLakeGen1 => "an Azure Data Lake Gen1 store",
            Self::OneLake => "a OneLake lakehouse",
        }
    }

    /// The fields that name the account and the container.
    #[must_use]
    pub fn fields(self) -> (&'static str, &'static str) {
        match self {
            Self::AzureBlob => ("account_name", "container_name"),
            Self::AzureFile => ("account_name", "file_share_name"),
            Self::AzureDataLakeGen2 => ("account_name", "filesystem"),
            Self::AzureDataLakeGen1 => ("store_name", ""),
            Self::OneLake => ("one_lake_workspace_name", "artifact"),
        }
    }
}

/// The kind of credential for a datastore; the secret itself is stored elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// No credential was given.
    #[default]
    None,
    /// The account's key.
    AccountKey,
    /// A shared access signature.
    Sas,
}

/// One definition. Its JSON has the field names of `az ml datastore show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datastore {
    /// Its name; see [`check_name`].
    pub name: String,
    /// The kind of storage.
    pub kind: DatastoreKind,
    /// The storage account (for Gen1 the store, for OneLake the workspace).
    pub account_name: String,
    /// The container, file share, file system or lakehouse.
    pub container_name: String,
    /// The host after `<account>.blob.`; for an emulator, an IP address or `localhost` with a port.
    pub endpoint: String,
    /// `https` or `http`.
    pub protocol: String,
    /// The kind of credential.
    pub credential: CredentialKind,
    /// A description for people; may be empty.
    pub description: String,
    /// Names and values.
    pub tags: BTreeMap<String, String>,
    /// More names and values.
    pub properties: BTreeMap<String, String>,
}

/// The endpoint, if none is given.
pub const PUBLIC_ENDPOINT: &str = "core.windows.net";

impl Datastore {
    /// A definition with only its location.
    #[must_use]
    pub fn new(name: &str, kind: DatastoreKind, account: &str, container: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            account_name: account.to_owned(),
            container_name: container.to_owned(),
            endpoint: PUBLIC_ENDPOINT.to_owned(),
            protocol: "https".to_owned(),
            credential: CredentialKind::None,
            description: String::new(),
            tags: BTreeMap::new(),
            properties: BTreeMap::new(),
        }
    }

    /// The account and the root of its blob service, without a trailing slash. With an IP address or `localhost` as
    /// endpoint, the account is part of the path, as for Azurite.
    #[must_use]
    pub fn root(&self) -> (String, String) {
        let (account, endpoint, protocol) = (&self.account_name, &self.endpoint, &self.protocol);
        let root = if is_bare_host(endpoint) {
            format!("{protocol}://{endpoint}/{account}")
        } else {
            format!("{protocol}://{account}.blob.{endpoint}")
        };
        (account.clone(), root)
    }

    /// Checks whether the definition is valid.
    ///
    /// # Errors
    /// [`DatastoreError::Invalid`] with the wrong field.
    pub fn check(&self) -> Result<(), DatastoreError> {
        check_name(&self.name)?;
        let wrong = |message: String| Err(DatastoreError::Invalid(format!("datastore '{}': {message}", self.name)));
        if !matches!(self.protocol.as_str(), "https" | "http") {
            return wrong(format!("the protocol is '{}': use https or http", self.protocol));
        }
        let host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if self.endpoint.is_empty() || !self.endpoint.chars().all(host) {
            let example = "core.windows.net, or 127.0.0.1:10000";
            return wrong(format!("the endpoint '{}' is not a host name: use for example {example}", self.endpoint));
        }
        let (account, container) = self.kind.fields();
        for (field, value) in [(account, &self.account_name), (container, &self.container_name)] {
            // Names in OneLake may contain spaces; they do not become part of an address here.
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_$".contains(c);
            let free = self.kind == DatastoreKind::OneLake || field.is_empty();
            if !free && (value.is_empty() || !value.chars().all(plain)) {
                return wrong(format!("the {field} '{value}' is not valid: use letters, digits and '-'"));
            }
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let (account, container) = self.kind.fields();
        let mut record = Map::new();
        record.insert("name".to_owned(), json!(self.name));
        record.insert("type".to_owned(), json!(self.kind));
        record.insert(account.to_owned(), json!(self.account_name));
        match self.kind {
            DatastoreKind::AzureDataLakeGen1 => None,
            DatastoreKind::OneLake => {
                let artifact = json!({ "name": self.container_name, "type": "lake_house" });
                record.insert(container.to_owned(), artifact)
            }
            _ => record.insert(container.to_owned(), json!(self.container_name)),
        };
        record.insert("endpoint".to_owned(), json!(self.endpoint));
        record.insert("protocol".to_owned(), json!(self.protocol));
        record.insert("credentials".to_owned(), json!({ "type": self.credential }));
        record.insert("description".to_owned(), json!(self.description));
        record.insert("tags".to_owned(), json!(self.tags));
        record.insert("properties".to_owned(), json!(self.properties));
        Value::Object(record)
    }

    /// Reads what [`Serialize`] wrote.
    pub(super) fn read(record: &Value) -> Option<Self> {
        let text = |field: &str| record.get(field)?.as_str().map(str::to_owned);
        let map = |field: &str| record.get(field).cloned().and_then(|m| serde_json::from_value(m).ok());
        let kind = DatastoreKind::named(&text("type")?)?;
        let (account, container) = kind.fields();
        let lakehouse = || record.get(container)?.get("name")?.as_str().map(str::to_owned);
        Some(Self {
            name: text("name")?,
            kind,
            account_name: text(account)?,
            container_name: text(container).or_else(lakehouse).unwrap_or_default(),
            endpoint: text("endpoint")?,
            protocol: text("protocol")?,
            credential: serde_json::from_value(record.get("credentials")?.get("type")?.clone()).ok()?,
            description: text("description").unwrap_or_default(),
            tags: map("tags").unwrap_or_default(),
            properties: map("properties").unwrap_or_default(),
        })
    }
}

impl Serialize for Datastore {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

/// Whether a host, possibly with a port, is an IP address or `localhost`: then the account is not part of the host.
#[must_use]
pub fn is_bare_host(host: &str) -> bool {
    let named = |name: &str| name == "localhost" || name.parse::<std::net::IpAddr>().is_ok();
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| named(address));
    }
    named(host.split_once(':').map_or(host, |(name, _)| name))
}

/// Checks the name of a datastore by Azure ML's rule. Such a name is also a valid file name.
///
/// # Errors
/// [`DatastoreError::Invalid`] with the rule.
pub fn check_name(name: &str) -> Result<(), DatastoreError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.is_empty() && name.len() <= 255 && name.chars().all(legal) {
        return Ok(());
    }
    let rule = "use 1 to 255 letters, digits or '_'";
    Err(DatastoreError::Invalid(format!("'{name}' is not a valid name for a datastore: {rule}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_service() {
        let mut one = Datastore::new("d", DatastoreKind::AzureBlob, "acc", "box");
        assert_eq!(one.root(), ("acc".into(), "https://acc.blob.core.windows.net".into()));
        for host in ["127.0.0.1:10000", "localhost", "localhost:1", "[::1]:10000", "10.0.0.1"] {
            (one.endpoint, one.protocol) = (host.into(), "http".into());
            one.check().unwrap();
            assert_eq!(one.root().1, format!("http://{host}/acc"));
        }
        one.endpoint = "core.chinacloudapi.cn".into();
        assert_eq!(one.root().1, "http://acc.blob.core.chinacloudapi.cn");
    }
}
