//! `amlrun show`: prints a document with everything resolved, and the origin of each value.

use std::path::PathBuf;

use super::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::language::{Target, Value, resolved};
use crate::render::document::{json, yaml};
use crate::runner::project::Project;
use crate::yaml::overrides::Override;

/// Print a document with components, defaults and --set put in, and where each value came from.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun show pipeline.yml\n  \
    amlrun show pipeline.yml --set inputs.epochs=5 | grep -- --set\n  \
    amlrun show pipeline.yml -o json | jq '.document.jobs.train.inputs'\n  \
    amlrun show pipeline.yml -o json | jq '.origins[\"jobs.train.inputs.epochs\"]'\n\n\
    Component files stand where they are named, their paths as the document's folder sees them. A comment tells where a\n\
    value was written: a file and line, 'default', or '--set'. Values under keys that look secret are masked.\n\
    A file with mistakes is shown as far as it can be read: the mistakes are told on stderr and the exit code is 1.")]
pub(super) struct Args {
    /// The file of a job, component, environment, data asset, model or datastore
    file: PathBuf,

    /// Change a value of the file before it is read, as in inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    /// How to print it
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// YAML, the origins as comments
    Yaml,
    /// An object with the document and the origins by path
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
