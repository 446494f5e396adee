//! `amlrun model extract`: writes one tensor to a NumPy file.

use std::path::PathBuf;

use super::place::{find, float_type, listed};
use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::model_file::save::{Weight, write_npy};
use crate::model_file::{ModelFile, ScalarType};
use crate::runner::project::Project;

/// Write one tensor of a model as a NumPy file
#[derive(clap::Args)]
#[command(after_help = "Example:\n  amlrun model extract model.pth fc1.weight fc1.npy")]
pub(in crate::cli) struct Args {
    /// Model: a file, a folder, or azureml:NAME:VERSION
    #[arg(value_name = "MODEL")]
    model: String,

    /// Name of the tensor
    #[arg(value_name = "TENSOR")]
    tensor: String,

    /// File to write
    #[arg(value_name = "OUT.npy")]
    out: PathBuf,

    /// Convert to float16, float32 or float64 [default: unchanged]
    #[arg(long, value_name = "TYPE", value_parser = float_type)]
    dtype: Option<ScalarType>,
}

pub(super) fn extract(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let file = ModelFile::open(&find(&args.model, project)?)?;
    let Some(tensor) = file.contents.find(&args.tensor) else {
        let names = file.contents.tensors.iter().map(|tensor| tensor.name.as_str());
        let missing = Failed::not_found(format!("{} has no tensor '{}'", args.model, args.tensor));
        return Err(match crate::diagnostic::suggest::nearest(&args.tensor, names) {
            Some(near) => missing.hint(format!("did you mean '{near}'?")),
            None => missing.hint(listed(&args.model)),
        });
    };
    let mut weight = Weight::of_file(&args.tensor, &file.contents, tensor);
    if let Some(dtype) = args.dtype {
        weight = weight.converted(dtype);
    }
    write_npy(&args.out, &weight)?;
    let kind = weight.scalar_type().torch_name();
    printer.out(&format!("{}: {:?} {kind}\n", args.out.display(), tensor.shape));
    Ok(Exit::Ok)
}
