//! `amlrun run`: runs a job file.

pub(super) mod options;
pub(super) mod view;
mod watch;

use std::path::PathBuf;

use self::options::RunArguments;
use self::view::OutputFormat;
use crate::cli::printer::Printer;
use crate::cli::shell;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::runner::project::Project;
use crate::runner::resume;
use crate::runner::session::RunSession;

/// Run a job file on this machine.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun run pipeline.yml\n  \
    amlrun run pipeline.yml --set inputs.epochs=5 --set jobs.train.inputs.lr=0.01\n  \
    amlrun run pipeline.yml --from train              what needs 'train', and 'train' itself\n  \
    amlrun run pipeline.yml --force-rerun=train       run 'train' whatever was made before\n  \
    amlrun run --resume RUN                           go on where a run stopped\n  \
    amlrun run pipeline.yml --jobs 1 --output jsonl | jq .event\n\n\
    A step that would do what it did before is not run: its earlier result stands for it. 'amlrun plan' tells which, \
    'amlrun why' tells why.\n\
    Ctrl-C ends the steps in order (TERM, then KILL after the grace time); a second one ends them at once.")]
pub(super) struct Args {
    /// The job file: a pipeline or command job in Azure ML's YAML
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,

    /// Go on with a run that failed, was stopped, or lost its runner: its finished steps stay finished
    #[arg(long, value_name = "RUN", conflicts_with_all = ["file", "set", "name", "only", "from", "until"])]
    resume: Option<String>,

    #[command(flatten)]
    pub run: RunArguments,

    /// Run again whenever the job file, code or an input on this machine changes
    #[arg(long, conflicts_with_all = ["resume", "name"])]
    watch: bool,

    /// How to show the run
    #[arg(long, value_enum, default_value = "text")]
    output: OutputFormat,
}

pub(super) fn run(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let (options, quiet) = (args.run.options(), args.run.quiet);
    let session = match (&args.resume, &args.file) {
        (Some(name), _) => resume::resume(name, &options, project)?,
        (None, None) => return Err(Failed::usage("name a job file, or a run with --resume")),
        (None, Some(file)) if args.watch => return watch::watch(file, &args.run, args.output, project, printer),
        (None, Some(file)) => RunSession::new(file, &options, project)?,
    };
    let (exit, folder) = view::run(session, args.output, quiet, printer)?;
    shell::offer(exit, &folder, args.output, project, printer)
}
