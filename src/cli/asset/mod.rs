//! What the commands for models and for data share: how a version is selected, found and shown.

pub(super) mod create;
pub(super) mod download;

use std::path::Path;

use serde_json::Value;

use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::history::registry::existing;
use crate::registry::{Asset, AssetKind, Registry, Selector};
use crate::store::Home;

/// Which version of which asset.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Name of the asset
    #[arg(short, long)]
    pub name: String,

    /// Version of the asset [default: the latest]
    #[arg(short, long, conflicts_with = "label")]
    pub version: Option<String>,

    /// Label of the version, for example latest (components have only latest)
    #[arg(short, long)]
    pub label: Option<String>,
}

impl Which {
    /// The selected version. By default, the latest.
    pub(super) fn selector(&self) -> Selector {
        match (&self.version, self.label.as_deref()) {
            (Some(version), _) => Selector::Version(version.clone()),
            (None, None | Some("latest")) => Selector::Latest,
            (None, Some(label)) => Selector::Label(label.to_owned()),
        }
    }
}

/// The registry of the workspace, for looking up a name.
pub(super) fn registry(kind: AssetKind, name: &str, home: &Home) -> Result<Registry, Failed> {
    let what = if kind == AssetKind::Model { "model" } else { "data asset" };
    existing(home)?.ok_or_else(|| Failed::not_found(format!("the {what} '{name}' is not registered in this workspace")))
}

/// The selected version, for showing it. Warns if its content differs from what was registered.
pub(super) fn find_to_show(kind: AssetKind, which: &Which, home: &Home, printer: &Printer) -> Result<Asset, Failed> {
    let registry = registry(kind, &which.name, home)?;
    let asset = registry.get(kind, &which.name, &which.selector())?;
    if let Err(changed) = registry.intact(&asset) {
        printer.err(&format!("warning: {changed}\n"));
    }
    Ok(asset)
}

/// The selected version, for using its content, which must be as registered.
pub(super) fn find_intact(kind: AssetKind, which: &Which, home: &Home) -> Result<Asset, Failed> {
    let registry = registry(kind, &which.name, home)?;
    let asset = registry.get(kind, &which.name, &which.selector())?;
    registry.intact(&asset)?;
    Ok(asset)
}

/// The file or folder of an asset that is stored in the workspace.
pub(super) fn kept_here(asset: &Asset) -> Result<&Path, Failed> {
    match asset.uri() {
        None => Ok(&asset.path),
        Some(address) => {
            Err(Failed::new(format!("the files of {} are not stored in this workspace, but at {address}", asset.id())))
        }
    }
}

/// The versions of a name, or of all names, that lists show, newest first.
pub(super) fn list(
    kind: AssetKind,
    name: Option<&str>,
    shown: impl Fn(&Asset) -> bool,
    home: &Home,
) -> Result<Value, Failed> {
    let assets = existing(home)?.map_or(Ok(Vec::new()), |registry| registry.list(kind, name))?;
    Ok(Value::Array(assets.iter().filter(|asset| shown(asset)).map(self::shown).collect()))
}

/// The record in its printed form.
pub(super) fn shown(asset: &Asset) -> Value {
    serde_json::to_value(asset).unwrap_or_default()
}
