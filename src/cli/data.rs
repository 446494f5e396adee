//! `amlrun data …`: data assets with the commands of `az ml data`.

use clap::Subcommand;

use super::asset::create::Create;
use super::asset::download::Download;
use super::asset::{self, Which};
use super::format::Format;
use super::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::registry::{AssetKind, AssetType};
use crate::runner::project::Project;

/// Manage data assets, like 'az ml data'
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Register data for use as azureml:NAME:VERSION in pipelines
    #[command(after_help = "Examples:\n  \
        amlrun data create -n iris -p iris.csv --type uri_file\n  \
        amlrun data create -f data.yml --set version=7\n  \
        amlrun data create -n big -p azureml://datastores/training/paths/big/\n\n\
        A local file or folder is copied into the workspace. Of a URI, only the address is stored.\n\
        A version cannot be changed. Registering the same content as the same version again has no effect.")]
    Create {
        #[command(flatten)]
        create: Create,
        /// uri_folder, uri_file or mltable [default: 'type' in the file, else uri_folder]
        #[arg(short = 't', long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// List data assets, or the versions of one asset, newest first
    List {
        /// List the versions of this asset only
        #[arg(short, long)]
        name: Option<String>,
        /// Include archived versions
        #[arg(long)]
        include_archived: bool,
        /// List archived versions only
        #[arg(long, conflicts_with = "include_archived")]
        archived_only: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show a version of a data asset
    #[command(after_help = "Examples:\n  \
        amlrun data show -n iris -v 3\n  \
        amlrun data show -n iris -l latest --query path -o tsv")]
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
    },
    /// Copy the files of a data asset to a folder with its name
    #[command(after_help = "Examples:\n  \
        amlrun data download -n iris -v 3 -p downloads\n  \
        amlrun data download -n iris -l latest")]
    Download(Download),
    /// Archive data: hide it from lists and from @latest
    Archive {
        #[command(flatten)]
        versions: Versions,
    },
    /// Restore archived data
    Restore {
        #[command(flatten)]
        versions: Versions,
    },
}

/// Which versions of which data.
#[derive(clap::Args)]
pub(super) struct Versions {
    /// Name of the data asset
    #[arg(short, long)]
    name: String,

    /// Version of the data asset [default: all versions]
    #[arg(short, long)]
    version: Option<String>,
}

pub(super) fn execute(verb: Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    match verb {
        Verb::Create { create, kind } => {
            create.format.check()?;
            let kind = kind.map(|word| data_type(&word)).transpose()?;
            let asset = create.register(kind, AssetType::UriFolder, false, project, printer)?;
            create.format.print(asset::shown(&asset), printer)?;
        }
        Verb::List { name, include_archived, archived_only, format } => {
            format.check()?;
            let shown = |asset: &crate::registry::Asset| include_archived || asset.archived == archived_only;
            format.print(asset::list(AssetKind::Data, name.as_deref(), shown, &project.home())?, printer)?;
        }
        Verb::Show { which, format } => {
            format.check()?;
            format.print(
                asset::shown(&asset::find_to_show(AssetKind::Data, &which, &project.home(), printer)?),
                printer,
            )?;
        }
        Verb::Download(download) => download.execute(AssetKind::Data, project, printer)?,
        Verb::Archive { versions } => versions.archive(true, project, printer)?,
        Verb::Restore { versions } => versions.archive(false, project, printer)?,
    }
    Ok(Exit::Ok)
}

impl Versions {
    fn archive(&self, yes: bool, project: &Project, printer: &Printer) -> Result<(), Failed> {
        let registry = asset::registry(AssetKind::Data, &self.name, &project.home())?;
        let versions = match &self.version {
            Some(version) => vec![version.clone()],
            None => {
                // If the name was not found, the registry's error suggests a similar one.
                registry.container(AssetKind::Data, &self.name)?;
                registry.list(AssetKind::Data, Some(&self.name))?.into_iter().map(|asset| asset.version).collect()
            }
        };
        for version in versions {
            let asset = registry.archive(AssetKind::Data, &self.name, &version, yes)?;
            let done = if yes { "archived" } else { "restored" };
            printer.out(&format!("{}:{}: {done}\n", asset.name, asset.version));
        }
        Ok(())
    }
}

fn data_type(word: &str) -> Result<AssetType, Failed> {
    let found = word.parse::<AssetType>().ok().filter(|found| found.kind() == AssetKind::Data);
    found.ok_or_else(|| {
        Failed::usage(format!("'{word}' is not a type of data asset: use uri_folder, uri_file or mltable"))
    })
}
