//! `amlrun model convert`: converts a model of any format to one that Python loads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::place::{find, float_type, listed};
use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::model_file::save::{pth, select, stream_safetensors};
use crate::model_file::{ModelFile, ScalarType};
use crate::runner::project::Project;

/// The forms that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Safetensors
    Safetensors,
    /// A state_dict in PyTorch's zip format
    Pth,
}

/// Convert the weights of a model to another format
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun model convert model.pth model.safetensors\n  \
    amlrun model convert last.ckpt weights.pth --strip-prefix net. --dtype float16\n  \
    amlrun model convert azureml:my-model:3 head.safetensors --select 'head.*'")]
pub(in crate::cli) struct Args {
    /// Model: a file, a folder, or azureml:NAME:VERSION
    #[arg(value_name = "IN")]
    model: String,

    /// File to write
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// Format of the new file [default: from the file extension of OUT]
    #[arg(long, value_enum)]
    to: Option<Form>,

    /// Convert only tensors with this name; * matches any text. Repeat the option for more names
    #[arg(long, value_name = "PATTERN")]
    select: Vec<String>,

    /// Convert floating-point tensors to float16, bfloat16, float32 or float64 [default: unchanged]
    #[arg(long, value_name = "TYPE", value_parser = float_type)]
    dtype: Option<ScalarType>,

    /// Remove this prefix from the names of tensors
    #[arg(long, value_name = "PREFIX")]
    strip_prefix: Option<String>,

    /// Replace OUT if it exists
    #[arg(long)]
    force: bool,
}

pub(super) fn convert(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let ending = args.out.extension().unwrap_or_default().to_string_lossy().into_owned();
    let form = match (args.to, ending.as_str()) {
        (Some(form), _) => form,
        (None, "safetensors") => Form::Safetensors,
        (None, "pth" | "pt" | "bin") => Form::Pth,
        _ => {
            return Err(Failed::usage("cannot tell the format of OUT from its name: use --to safetensors or --to pth"));
        }
    };
    let file = ModelFile::open(&find(&args.model, project)?)?;
    if args.out.exists() && !args.force {
        return Err(Failed::new(format!("{} already exists", args.out.display())).hint("use --force to replace it"));
    }
    let mut selection = select(&file.contents, &args.select, args.strip_prefix.as_deref());
    if selection.weights.is_empty() {
        let why = if args.select.is_empty() { "has no tensors" } else { "has no tensor that matches --select" };
        return Err(Failed::new(format!("{} {why}", args.model)).hint(listed(&args.model)));
    }
    if let Some(dtype) = args.dtype {
        selection.weights = selection.weights.into_iter().map(|weight| weight.converted(dtype)).collect();
    }
    match form {
        Form::Pth => pth::write(&args.out, &selection.weights)?,
        Form::Safetensors => stream_safetensors(&args.out, &selection.weights, &BTreeMap::new())?,
    }
    selection.notes.iter().for_each(|note| printer.err(&format!("note: {note}\n")));
    printer.out(&format!("{}: {} tensors\n", args.out.display(), selection.weights.len()));
    Ok(Exit::Ok)
}
