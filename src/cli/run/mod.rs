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

/// Run a pipeline or command job on this machine.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun run pipeline.yml\n  \
    amlrun run pipeline.yml --set inputs.epochs=5 --set jobs.train.inputs.lr=0.01\n  \
    amlrun run pipeline.yml --from train              'train' and all steps that depend on it\n  \
    amlrun run pipeline.yml --force-rerun=train       do not reuse the result of 'train'\n  \
    amlrun run --resume RUN                           continue a run that stopped\n  \
    amlrun run pipeline.yml --jobs 1 --output jsonl | jq .event\n\n\
    If a step would repeat what it did before, its earlier result is reused. 'amlrun plan' shows this before a run, \
    and 'amlrun why' explains it afterwards.\n\
    Ctrl-C stops the steps gracefully (SIGTERM, and SIGKILL after the grace period). A second Ctrl-C kills them at \
    once.")]
pub(super) struct Args {
    /// YAML file of a pipeline or command job
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,

    /// Resume a run that failed or was stopped; completed steps do not run again
    #[arg(long, value_name = "RUN", conflicts_with_all = ["file", "set", "name", "only", "from", "until"])]
    resume: Option<String>,

    #[command(flatten)]
    pub run: RunArguments,

    /// Run again whenever the job file, its code or a local input changes
    #[arg(long, conflicts_with_all = ["resume", "name"])]
    watch: bool,

    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    output: OutputFormat,
}

pub(super) fn run(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let (options, quiet) = (args.run.options(), args.run.quiet);
    let session = match (&args.resume, &args.file) {
        (Some(name), _) => resume::resume(name, &options, project)?,
        (None, None) => return Err(Failed::usage("a job file or --resume RUN is required")),
        (None, Some(file)) if args.watch => return watch::watch(file, &args.run, args.output, project, printer),
        (None, Some(file)) => RunSession::new(file, &options, project)?,
    };
    let (exit, folder) = view::run(session, args.output, quiet, printer)?;
    shell::offer(exit, &folder, args.output, project, printer)
}
