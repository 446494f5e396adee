//! `amlrun component …`: components in the shape of `az ml component`, and the REST bodies of documents.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value as Json;

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::format::Format;
use super::printer::Printer;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::language::{Kind, Target, rest};
use crate::yaml::overrides::Override;

/// Components, as 'az ml component' does
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print what Azure ML's SDK would send for a component file
    #[command(after_help = "Example:\n  amlrun component create -f train.yml --dry-run")]
    Create(Create),
}

/// What `component create` takes.
#[derive(clap::Args)]
pub(super) struct Create {
    /// The component file
    #[arg(short, long)]
    file: PathBuf,

    /// Register nothing: print the body that would be sent (nothing else is there yet)
    #[arg(long, required = true)]
    dry_run: bool,

    /// Change a value of the file before it is read, as in version=2
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    #[command(flatten)]
    format: Format,
}

pub(super) fn obey(verb: Verb, printer: &Printer) -> Result<Exit, Failed> {
    let Verb::Create(create) = verb;
    create.format.check()?;
    let body = rest_body(&create.file, &create.set, Kind::Component, printer)?;
    create.format.print(body, printer)?;
    Ok(Exit::Ok)
}

/// The REST body of a document that Azure ML would take. Warnings are shown; a refusal ends the command.
pub(super) fn rest_body(file: &Path, set: &[Override], kind: Kind, printer: &Printer) -> Result<Json, Failed> {
    let mut checked = Context::check(file, set, Target::Azure, Some(kind));
    let accepted = checked.accepted();
    let refused = |diagnostics: Diagnostics, sources, exit| Err(Failed::Refused { diagnostics, sources, exit });
    let Some(object) = checked.value.as_ref().and_then(|v| v.object()).filter(|_| accepted) else {
        let exit = if checked.not_found { Exit::NotFound } else { Exit::Failed };
        return refused(checked.diagnostics, checked.sources, exit);
    };
    match rest::body(object) {
        Ok(body) => {
            printer.diagnostics(&checked.diagnostics, &checked.sources);
            Ok(body)
        }
        Err(why) => {
            let message = format!("{}: {why}", file.display());
            checked.diagnostics.push(Diagnostic::without_place("not-sent", message));
            refused(checked.diagnostics, checked.sources, Exit::Failed)
        }
    }
}
