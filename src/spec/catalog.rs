//! What planning asks about registered assets. The registry answers; a test may answer from a map.

use std::path::PathBuf;

use super::asset_ref::AssetRef;
use super::io::PortType;

/// A registered data asset or model, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `name:version` with the version that a label stood for.
    pub id: String,
    /// Its type.
    pub kind: PortType,
    /// Where its bytes lie.
    pub path: PathBuf,
}

/// The assets of a workspace.
pub trait Catalog {
    /// Looks up a data asset or model.
    ///
    /// # Errors
    /// A sentence for people: there is no such asset (naming near ones), or the registry cannot be read.
    fn find(&self, reference: &AssetRef, kind: PortType) -> Result<Found, String>;

    /// The folder that stands for a datastore of Azure ML.
    ///
    /// # Errors
    /// A sentence for people: no folder stands for it.
    fn datastore(&self, name: &str) -> Result<PathBuf, String>;
}

/// A workspace that has no assets.
pub struct Empty;

impl Catalog for Empty {
    fn find(&self, reference: &AssetRef, _: PortType) -> Result<Found, String> {
        Err(format!("no asset '{reference}' is registered in this workspace"))
    }

    fn datastore(&self, name: &str) -> Result<PathBuf, String> {
        Err(format!("no folder stands for the datastore '{name}'"))
    }
}
