//! `amlrun step …`: commands for one step of a run.

use clap::Subcommand;

use super::printer::Printer;
use super::run::view::{self, OutputFormat};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::runner::options::RunOptions;
use crate::runner::project::Project;
use crate::runner::resume;

/// Run one step of a run again
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Run a step of a run once more, with the same inputs, whatever was made before
    #[command(after_help = "Example:\n  amlrun step rerun RUN train\n\n\
        Its new outputs count from then on; those of earlier tries stay where they are.")]
    Rerun {
        /// The run
        run: String,
        /// The step
        step: String,
        /// How to show it
        #[arg(long, value_enum, default_value = "text")]
        output: OutputFormat,
    },
}

pub(super) fn obey(verb: &Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let Verb::Rerun { run, step, output } = verb;
    let session = resume::rerun(run, step, &RunOptions::default(), project)?;
    view::run(session, *output, false, printer).map(|(exit, _)| exit)
}
