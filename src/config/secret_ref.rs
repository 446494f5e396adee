//! References to secrets: `account_key = { env = "NAME" }` or `{ file = "PATH" }`. The secret itself is never in
//! `amlrun.toml`, because that file is often committed. It is read when the datastore or account that needs it is used.

use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::user::UserConfig;
use crate::secret::{Credential, Secret};

/// Where a secret is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file, relative to the configuration file.
    File(PathBuf),
}

/// The credentials of a datastore or an account, by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CredentialRef {
    /// The account's key.
    AccountKey(SecretRef),
    /// A shared access signature.
    Sas(SecretRef),
}

impl CredentialRef {
    /// The environment variable that holds it.
    pub(crate) fn variable(&self) -> Option<&str> {
        match self {
            Self::AccountKey(SecretRef::Env(name)) | Self::Sas(SecretRef::Env(name)) => Some(name),
            _ => None,
        }
    }

    /// The one that was given of the two fields.
    pub(crate) fn of(account_key: Option<SecretRef>, sas_token: Option<SecretRef>) -> Result<Option<Self>, String> {
        match (account_key, sas_token) {
            (Some(_), Some(_)) => Err("use either account_key or sas_token, not both".to_owned()),
            (key, token) => Ok(key.map(Self::AccountKey).or(token.map(Self::Sas))),
        }
    }

    /// Reads the secret. `table` is the table that names it, such as `datastores.mine`.
    ///
    /// # Errors
    /// A message with the key and the variable or file, when that is unset, unreadable or empty, or the project may not
    /// read it.
    pub(crate) fn read(
        &self,
        table: &str,
        folder: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
        user: &UserConfig,
    ) -> Result<Credential, String> {
        let (field, found) = match self {
            Self::AccountKey(found) => ("account_key", found),
            Self::Sas(found) => ("sas_token", found),
        };
        let text = match found {
            SecretRef::Env(name) => variable(name).ok_or_else(|| {
                format!("{table}.{field} in amlrun.toml uses the variable {name}, which is not set: export {name}=…")
            })?,
            SecretRef::File(path) => {
                let path = folder.join(path);
                user.may_read(folder, &path).map_err(|why| format!("{table}.{field} in amlrun.toml {why}"))?;
                std::fs::read_to_string(&path).map_err(|e| {
                    format!("{table}.{field} in amlrun.toml uses {}, which cannot be read: {e}", path.display())
                })?
            }
        };
        let text = text.trim();
        if text.is_empty() {
            let place = match found {
                SecretRef::Env(name) => format!("the variable {name}"),
                SecretRef::File(path) => folder.join(path).display().to_string(),
            };
            return Err(format!("{table}.{field} in amlrun.toml uses {place}, which is empty"));
        }
        Ok(match self {
            Self::AccountKey(_) => Credential::AccountKey(Secret::new(text)),
            Self::Sas(_) => Credential::Sas(Secret::new(text.trim_start_matches('?'))),
        })
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // No error message may quote the value.
        let wrong = || {
            D::Error::custom(
                "use account_key = { env = \"NAME\" } or { file = \"PATH\" }, or the same for sas_token: amlrun.toml \
                must not contain secrets",
            )
        };
        let toml::Value::Table(table) = toml::Value::deserialize(deserializer)? else { return Err(wrong()) };
        let text = |key: &str| table.get(key).and_then(toml::Value::as_str).filter(|text| !text.is_empty());
        match (table.len(), text("env"), text("file")) {
            (1, Some(name), None) => Ok(Self::Env(name.to_owned())),
            (1, None, Some(path)) => Ok(Self::File(path.into())),
            _ => Err(wrong()),
        }
    }
}
