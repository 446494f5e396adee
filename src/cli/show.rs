//! `amlrun show`: prints a document with everything resolved, and the origin of each value.

use std::path::PathBuf;

use super::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::language::{Target, Value, resolved};
use crate::render::document::{json, yaml};
use crate::runner::project::Project;
use crate::yaml::overrides::Override;

/// Show a file with components and defaults filled in.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun show pipeline.yml\n  \
    amlrun show pipeline.yml --set inputs.epochs=5 | grep -- --set\n  \
    amlrun show pipeline.yml -o json | jq '.document.jobs.train.inputs'\n  \
    amlrun show pipeline.yml -o json | jq '.origins[\"jobs.train.inputs.epochs\"]'\n\n\
    Each component is shown in place of its reference, with paths relative to the folder of the file. Comments \
    show the origin of each value: a file and line, 'default', or '--set'. Values under keys that look secret are \
    masked.\n\
    If the file has errors, the readable part is shown, the errors are printed to stderr, and the exit code is 1.")]
pub(super) struct Args {
    /// File of a job, component, environment, data asset, model or datastore
    file: PathBuf,

    /// Override values of the file, for example inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    /// Output format
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// YAML with the origins as comments
    Yaml,
    /// JSON with the document, and the origins by path
    Json,
}

pub(super) fn show(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let mut document = project.check(&args.file, &args.set, Target::Local, None);
    document.diagnostics.drop_notes();
    if let Some(object) = document.value.as_ref().and_then(Value::object) {
        let resolved = resolved::document(object, &document.sources);
        printer.data(&match args.output {
            Output::Yaml => yaml::write(&resolved, &document.sources),
            Output::Json => json::write(&resolved, &document.sources),
        });
    }
    if document.accepted() {
        printer.diagnostics(&document.diagnostics, &document.sources);
        return Ok(Exit::Ok);
    }
    let exit = if document.not_found { Exit::NotFound } else { Exit::Failed };
    Err(Failed::Refused { diagnostics: document.diagnostics, sources: document.sources, exit })
}
