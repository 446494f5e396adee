//! `amlrun model …`: the local registry with the commands of `az ml model`.

mod convert;
mod diff;
mod extract;
mod inspect;
pub(super) mod place;

use clap::Subcommand;

use crate::cli::asset::create::Create;
use crate::cli::asset::download::Download;
use crate::cli::asset::{self, Which};
use crate::cli::format::Format;
use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::registry::{AssetKind, AssetType};
use crate::runner::project::Project;

/// Manage models, like 'az ml model'
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Register a file or folder as a model
    #[command(after_help = "Examples:\n  \
        amlrun model create -n my-model -p ./model --type custom_model\n  \
        amlrun model create -n my-model -v 7 -p model.pt --tag stage=dev\n  \
        amlrun model create -f model.yml\n\n\
        A local file or folder is copied into the workspace. Of a URI, only the address is stored.")]
    Create {
        #[command(flatten)]
        create: Create,
        /// custom_model, mlflow_model or triton_model [default: 'type' in the file, else custom_model]
        #[arg(short = 't', long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Register the model even if loading it in Python is dangerous or its safety is unknown
        #[arg(long)]
        allow_pickle: bool,
    },
    /// List models, or the versions of one model, newest first
    List {
        /// List the versions of this model only
        #[arg(short, long)]
        name: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show a version of a model
    #[command(after_help = "Examples:\n  \
        amlrun model show -n my-model -v 3\n  \
        amlrun model show -n my-model -l latest --query path -o tsv")]
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
    },
    /// Copy the files of a model to a folder with its name
    #[command(after_help = "Examples:\n  \
        amlrun model download -n my-model -v 3 -p models\n  \
        amlrun model download -n my-model -l champion")]
    Download(Download),
    Inspect(inspect::Args),
    Diff(diff::Args),
    Convert(convert::Args),
    Extract(extract::Args),
}

pub(super) fn execute(verb: Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let home = project.home();
    match verb {
        Verb::Inspect(args) => return inspect::inspect(&args, project, printer),
        Verb::Diff(args) => return diff::diff(&args, project, printer),
        Verb::Convert(args) => return convert::convert(&args, project, printer),
        Verb::Extract(args) => return extract::extract(&args, project, printer),
        Verb::Create { create, kind, allow_pickle } => {
            create.format.check()?;
            let kind = kind.map(|word| model_type(&word)).transpose()?;
            let asset = create.register(kind, AssetType::CustomModel, allow_pickle, project, printer)?;
            create.format.print(asset::shown(&asset), printer)?;
        }
        Verb::List { name, format } => {
            format.check()?;
            let models = asset::list(AssetKind::Model, name.as_deref(), |model| !model.archived, &home)?;
            format.print(models, printer)?;
        }
        Verb::Show { which, format } => {
            format.check()?;
            format.print(asset::shown(&asset::find_to_show(AssetKind::Model, &which, &home, printer)?), printer)?;
        }
        Verb::Download(download) => download.execute(AssetKind::Model, project, printer)?,
    }
    Ok(Exit::Ok)
}

fn model_type(word: &str) -> Result<AssetType, Failed> {
    let kind: AssetType = word.parse().map_err(Failed::from)?;
    if kind.kind() == AssetKind::Model {
        Ok(kind)
    } else {
        Err(Failed::usage(format!("'{word}' is not a model type: use custom_model, mlflow_model or triton_model")))
    }
}
