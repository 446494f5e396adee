//! `amlrun graph`: draws a pipeline with nodes of any kind.

use std::path::PathBuf;

use super::printer::Printer;
use crate::diagnostic::article::with_article;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::language::{Target, Value, graph};
use crate::render::graph::{dot, mermaid, text};
use crate::runner::project::Project;
use crate::secret::mask_signatures;
use crate::yaml::overrides::Override;

/// Show the nodes of a job or component and the data flow between them.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun graph pipeline.yml\n  \
    amlrun graph pipeline.yml --format dot | dot -Tsvg > pipeline.svg\n  \
    amlrun graph pipeline.yml --format mermaid\n  \
    amlrun graph pipeline.yml --format json | jq '.edges'\n\n\
    Nested pipelines are drawn as boxes. Literal input values are shown in text and JSON only.\n\
    If the file has errors, the readable part is drawn, the errors are printed to stderr, and the exit code is 1.")]
pub(super) struct Args {
    /// File of a job or component
    file: PathBuf,

    /// Format of the graph
    #[arg(long, value_enum, default_value = "text")]
    format: Drawing,

    /// Override values of the file, for example inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Drawing {
    /// Text
    Text,
    /// DOT, for Graphviz
    Dot,
    /// Mermaid, for Markdown
    Mermaid,
    /// JSON with nodes, edges and nested graphs
    Json,
}

pub(super) fn graph(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let mut document = project.check(&args.file, &args.set, Target::Local, None);
    document.diagnostics.drop_notes();
    let Some(object) = document.value.as_ref().and_then(Value::object) else {
        let exit = if document.not_found { Exit::NotFound } else { Exit::Failed };
        return Err(Failed::Refused { diagnostics: document.diagnostics, sources: document.sources, exit });
    };
    let Some(graph) = graph::of(object) else {
        let what = with_article(&document.describe());
        return Err(Failed::new(format!("{} is {what}: only jobs and components have a graph", args.file.display())));
    };
    let mut drawn = match args.format {
        Drawing::Text => text::draw(&graph),
        Drawing::Dot => dot::draw(&graph),
        Drawing::Mermaid => mermaid::draw(&graph),
        Drawing::Json => format!("{}\n", serde_json::to_string_pretty(&graph).unwrap_or_default()),
    };
    mask_signatures(&mut drawn);
    match args.format {
        Drawing::Json => printer.data(&drawn),
        _ => printer.out(&drawn),
    }
    if document.diagnostics.has_errors() {
        let exit = Exit::Failed;
        return Err(Failed::Refused { diagnostics: document.diagnostics, sources: document.sources, exit });
    }
    printer.diagnostics(&document.diagnostics, &document.sources);
    Ok(Exit::Ok)
}
