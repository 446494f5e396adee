//! `data download` and `model download`: copies the files of an asset, stored in the workspace or at an address, to a
//! folder.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::asset::{self, Which};
use crate::cli::printer::Printer;
use crate::config::Config;
use crate::data::copy::{self, End};
use crate::data::location::Places;
use crate::data::session::TransferSession;
use crate::error::Failed;
use crate::registry::{Asset, AssetKind};
use crate::runner::project::Project;
use crate::spec::asset_ref::{AssetRef, Version};
use crate::spec::io::PortType;
use crate::store::tree;

/// Which asset, and where to.
#[derive(clap::Args)]
pub(in crate::cli) struct Download {
    #[command(flatten)]
    which: Which,

    /// Folder to copy to; a folder with the name of the asset is created in it
    #[arg(short = 'p', long, default_value = ".", value_name = "DIR")]
    download_path: PathBuf,
}

impl Download {
    /// Downloads the asset and prints its location.
    pub(crate) fn execute(&self, kind: AssetKind, project: &Project, printer: &Printer) -> Result<(), Failed> {
        let asset = asset::find_intact(kind, &self.which, &project.home())?;
        let target = match asset.uri() {
            None => self.kept_here(&asset)?,
            Some(_) => self.at_address(&asset, project, printer)?,
        };
        printer.data(&format!("{}\n", target.display()));
        Ok(())
    }

    fn kept_here(&self, asset: &Asset) -> Result<PathBuf, Failed> {
        let path = asset::kept_here(asset)?;
        let file = path.file_name().filter(|_| path.is_file());
        let folder = self.download_path.join(&asset.name);
        let target = file.map_or(folder.clone(), |name| folder.join(name));
        if target.exists() {
            return Err(Failed::new(format!("{} already exists", target.display()))
                .hint("choose another folder with --download-path, or remove it"));
        }
        tree::copy_tree(path, &target)?;
        Ok(target)
    }

    /// Existing files are not fetched again, so an interrupted download can be resumed.
    fn at_address(&self, asset: &Asset, project: &Project, printer: &Printer) -> Result<PathBuf, Failed> {
        let config = Config::near(std::path::Path::new(""))?;
        let session = Arc::new(TransferSession::new(config.limits(None))?);
        let places = Places::new(project.home(), &config);
        let reference = AssetRef { name: asset.name.clone(), version: Version::Exact(asset.version.clone()) };
        let kind = PortType::named(asset.asset_type.as_str()).unwrap_or(PortType::UriFolder);
        let found = places.asset(&reference, kind).map_err(Failed::new)?;
        let folder = self.download_path.join(&asset.name);
        let (end, transfer) = (End::of(found.place, Some(kind), &session)?, session.transfer.clone());
        session.hear_signals();
        let drawing = printer.moving(transfer.progress.clone());
        let fetched = session.block_on(async move {
            match end {
                End::Remote(from) => copy::fetch(&transfer, &from, &folder, true).await,
                // The datastore may be a local folder.
                End::Local(from) => copy::local::copy(&transfer, &from, &folder, true).await.map(|()| {
                    from.file_name().filter(|_| from.is_file()).map_or(folder.clone(), |name| folder.join(name))
                }),
            }
        });
        drop(drawing);
        Ok(fetched?)
    }
}
