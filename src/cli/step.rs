//! `amlrun step …`: one step of a run.

use clap::Subcommand;

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use super::ready::View;
use super::resume;
use super::run::How;

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
        output: View,
    },
}

pub(super) fn obey(verb: &Verb, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let Verb::Rerun { run, step, output } = verb;
    let ready = resume::rerun(run, step, &How::default(), context)?;
    ready.run(*output, false, printer).map(|(exit, _)| exit)
}
