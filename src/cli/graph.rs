//! `amlrun graph`: a pipeline drawn.

use std::path::PathBuf;

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use crate::plan::view;
use crate::yaml::overrides::Override;

/// Show the steps of a job and what they hand on.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun graph pipeline.yml\n  \
    amlrun graph pipeline.yml --format dot | dot -Tsvg > pipeline.svg\n  \
    amlrun graph pipeline.yml --format mermaid")]
pub(super) struct Args {
    /// The job file
    file: PathBuf,

    /// How to draw it
    #[arg(long, value_enum, default_value = "text")]
    format: Drawing,

    /// Change a value of the file before it is read, as in inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Drawing {
    /// For reading
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// The whole plan, for scripts
    Json,
}

pub(super) fn graph(args: &Args, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let (plan, _) = context.accepted(&args.file, &args.set, printer)?;
    printer.out(&match args.format {
        Drawing::Text => view::text(&plan),
        Drawing::Dot => view::dot(&plan),
        Drawing::Mermaid => view::mermaid(&plan),
        Drawing::Json => format!("{}\n", serde_json::to_string_pretty(&plan).unwrap_or_default()),
    });
    Ok(Exit::Ok)
}
