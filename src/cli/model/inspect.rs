//! `amlrun model inspect`: shows the content of a model file, and whether loading it is safe.

use super::place::find;
use crate::cli::format::TextOr;
use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::model_file::{ModelFile, view};
use crate::runner::project::Project;

/// How many tensors are listed by default.
const LISTED: usize = 60;

/// Show what a model file contains and whether it is safe to load
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun model inspect model.pth\n  \
    amlrun model inspect azureml:my-model:3 -o json --query tensors[].name\n\n\
    Reads torch.save files (zip and pre-1.6), TorchScript, safetensors (also sharded), torch.export archives, \
    MLflow models, and folders that contain any of these. No code in the file is executed.")]
pub(in crate::cli) struct Args {
    /// Model: a file, a folder, or azureml:NAME:VERSION
    #[arg(value_name = "MODEL")]
    model: String,

    /// List every tensor
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    format: TextOr,
}

pub(super) fn inspect(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let format = args.format.asked();
    if let Some(format) = &format {
        format.check()?;
    }
    let file = ModelFile::open(&find(&args.model, project)?)?;
    match format {
        Some(format) => format.print(serde_json::to_value(file.inspection()).unwrap_or_default(), printer)?,
        None => printer.out(&view::text(&file, (!args.all).then_some(LISTED))),
    }
    Ok(Exit::Ok)
}
