//! `amlrun model diff`: compares two models.

use super::place::find;
use crate::cli::format::TextOr;
use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::model_file::{ModelFile, compare};
use crate::runner::project::Project;

/// Compare two models tensor by tensor
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun model diff before.pth after.pth\n  \
    amlrun model diff azureml:my-model:3 model.safetensors --no-values\n\n\
    'missing' and 'unexpected' have the meaning of load_state_dict: 'missing' tensors are in A only, 'unexpected' \
    tensors in B only. The exit code is 1 if the models differ.")]
pub(in crate::cli) struct Args {
    /// First model: a file, a folder, or azureml:NAME:VERSION
    #[arg(value_name = "A")]
    first: String,

    /// Second model
    #[arg(value_name = "B")]
    second: String,

    /// Compare only names, shapes and types
    #[arg(long)]
    no_values: bool,

    #[command(flatten)]
    format: TextOr,
}

pub(super) fn diff(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let format = args.format.asked();
    if let Some(format) = &format {
        format.check()?;
    }
    let first = ModelFile::open(&find(&args.first, project)?)?;
    let second = ModelFile::open(&find(&args.second, project)?)?;
    let difference = compare::compare(&first.contents, &second.contents, !args.no_values)?;
    match format {
        Some(format) => format.print(serde_json::to_value(&difference).unwrap_or_default(), printer)?,
        None => printer.out(&difference.text()),
    }
    Ok(if difference.is_none() { Exit::Ok } else { Exit::Failed })
}
