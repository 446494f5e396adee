//! What planning asks about assets and addresses. The workspace answers; a test may answer from a map.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::asset_ref::AssetRef;
use super::data_uri::DataUri;
use super::io::PortType;
use crate::secret::Secret;

/// A registered data asset or model, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `name:version` with the version of a label.
    pub id: String,
    /// Its type.
    pub kind: PortType,
    /// Where its bytes are.
    pub located: Located,
}

/// Where data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Located {
    /// On this machine; whether anything is there is not said.
    Here(PathBuf),
    /// In a place that is reached over a network.
    Remote(Remote),
}

/// Data in a place that is reached over a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Remote {
    /// Its address as written, without a signature.
    pub uri: String,
    /// The address that it comes to: the same data have the same, however they are named.
    pub address: String,
    /// What is expected there.
    pub form: Form,
    /// The step of the same plan that writes there before it is read: who reads it before that reads something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether it is in a storage account: then it may be a folder.
    pub is_blob: bool,
    /// Whether a signature was written with it. It is no part of a plan: plans are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
}

impl Remote {
    /// Whether it is other data than that, or the same at another time.
    #[must_use]
    pub fn is_other(&self, than: &Self) -> bool {
        (&self.address, self.form, &self.after) != (&than.address, than.form, &than.after)
    }
}

/// What is expected at an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One file.
    File,
    /// All files below it, or those that a pattern finds.
    Folder,
    /// Either, as models are.
    #[default]
    Any,
}

impl Form {
    /// What an input of a type is.
    #[must_use]
    pub fn of(kind: PortType) -> Self {
        match kind {
            PortType::UriFile => Self::File,
            kind if kind.is_model() => Self::Any,
            _ => Self::Folder,
        }
    }
}

/// A signature that was written with an address, for this run only.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The address without it, as [`Remote::uri`] has it.
    pub uri: String,
    /// The address with it.
    pub whole: Secret,
}

impl Signed {
    /// The whole address of something at or below the one that was signed.
    #[must_use]
    pub fn of(&self, uri: &str) -> Option<Secret> {
        let below = uri.strip_prefix(self.uri.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let (place, query) = self.whole.reveal().split_once('?')?;
        Some(if below.is_empty() { self.whole.clone() } else { Secret::new(format!("{place}{below}?{query}")) })
    }
}

/// The assets and datastores of a workspace.
pub trait Catalog {
    /// Looks up a data asset or model.
    ///
    /// # Errors
    /// A sentence for people: there is no such asset (naming near ones), or the registry cannot be read.
    fn find(&self, reference: &AssetRef, kind: PortType) -> Result<Found, String>;

    /// Where an address leads.
    ///
    /// # Errors
    /// A sentence for people: it leads nowhere from here.
    fn locate(&self, uri: &DataUri) -> Result<Located, String>;

    /// What is planned with in place of a local path where nothing is.
    ///
    /// # Errors
    /// Why there is nothing, which was given: nothing takes its place.
    fn missing(&self, _place: &Path, why: String) -> Result<Located, String> {
        Err(why)
    }
}

/// A workspace that has no assets.
pub struct Empty;

impl Catalog for Empty {
    fn find(&self, reference: &AssetRef, _: PortType) -> Result<Found, String> {
        Err(format!("the asset '{reference}' is not registered in this workspace"))
    }

    fn locate(&self, uri: &DataUri) -> Result<Located, String> {
        Err(format!("'{uri}' cannot be resolved"))
    }
}
