//! `amlrun validate`: everything that is wrong with a file, before anything runs.

use std::path::PathBuf;

use serde_json::json;

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use crate::diagnostic::{Severity, json::to_json};
use crate::spec;
use crate::yaml::overrides::Override;

/// Check job and component files. Nothing is run and nothing is sent anywhere.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun validate pipeline.yml\n  \
    amlrun validate pipelines/*.yml -o json\n\n\
    Every mistake is shown at its line and column.\n\
    Exit code 0 when all files are accepted, 1 when one is refused, 3 when one is not there.")]
pub(super) struct Args {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Change a value of the file before it is read, as in inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    /// How to print what was found
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Lines with carets, for people
    Text,
    /// One JSON object, for scripts
    Json,
}

pub(super) fn validate(args: &Args, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let mut exit = Exit::Ok;
    let mut files = Vec::new();
    for file in &args.files {
        let (loaded, plan) = match spec::load_component(file) {
            Some(loaded) => (loaded, None),
            None => context.plan(file, &args.set),
        };
        let accepted = plan.is_some() || loaded.component.is_some() && !loaded.diagnostics.has_errors();
        if loaded.not_found {
            exit = Exit::NotFound;
        } else if !accepted && exit == Exit::Ok {
            exit = Exit::Failed;
        }
        if args.output == Output::Text {
            printer.diagnostics(&loaded.diagnostics, &loaded.sources);
            let warnings = loaded.diagnostics.count(Severity::Warning);
            if accepted && plan.is_none() {
                printer.out(&format!("{}: command component, accepted\n", file.display()));
            }
            if let Some(plan) = plan {
                let steps = plan.steps.len();
                let steps = if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") };
                let aside = if warnings > 0 { format!(", {warnings} warnings") } else { String::new() };
                printer.out(&format!("{}: {} with {steps}, accepted{aside}\n", file.display(), plan.kind));
            }
            continue;
        }
        files.push(json!({
            "path": file.display().to_string(),
            "kind": loaded.component.as_ref().map(|_| "component").or(loaded.document.as_ref().map(|d| d.job.kind())),
            "accepted": accepted,
            "diagnostics": to_json(&loaded.diagnostics, &loaded.sources),
        }));
    }
    if args.output == Output::Json {
        let text = serde_json::to_string_pretty(&json!({ "files": files })).unwrap_or_default();
        printer.out(&format!("{text}\n"));
    }
    Ok(exit)
}
