//! `amlrun step …`: commands for one step of a run.

use clap::Subcommand;

use super::printer::Printer;
use super::run::view::{self, OutputFormat};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::runner::options::RunOptions;
use crate::runner::project::Project;
use crate::runner::resume;

/// Rerun a step of a run
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Run a step of a run again with the same inputs
    #[command(after_help = "Example:\n  amlrun step rerun RUN train\n\n\
        The new outputs replace the earlier ones as the result of the step. The earlier outputs are kept on disk.")]
    Rerun {
        /// Name of the run, or the start of it
        run: String,
        /// Step of the run
        step: String,
        /// Output format
        #[arg(long, value_enum, default_value = "text")]
        output: OutputFormat,
    },
}

pub(super) fn execute(verb: &Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let Verb::Rerun { run, step, output } = verb;
    let session = resume::rerun(run, step, &RunOptions::default(), project)?;
    view::run(session, *output, false, printer).map(|(exit, _)| exit)
}
