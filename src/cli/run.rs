//! `amlrun run`: the main verb.

use std::path::PathBuf;

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use super::ready::{Ready, View};
use super::{resume, shell, watch};
use crate::yaml::overrides::Override;

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
    pub how: How,

    /// Run again whenever the job file, code or an input on this machine changes
    #[arg(long, conflicts_with_all = ["resume", "name"])]
    watch: bool,

    /// How to show the run
    #[arg(long, value_enum, default_value = "text")]
    output: View,
}

/// What `run`, `plan` and `job create` have in common.
#[derive(clap::Args, Clone, Default)]
pub(super) struct How {
    /// Change a value of the file before it is read, as in inputs.epochs=5; several may follow
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<Override>,

    #[command(flatten)]
    pub choice: Choice,

    /// The run's name [default: the file's 'name', or a fresh one]
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,

    /// How many steps may run at once [default: the number of cores]
    #[arg(short, long, value_name = "N", env = "AMLRUN_JOBS", hide_env_values = true,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,

    /// Seconds a step has to end by itself when it is told to stop [default: 10]
    #[arg(long, value_name = "SECONDS", env = "AMLRUN_GRACE", hide_env_values = true)]
    pub grace: Option<u64>,

    /// How many requests for data may be under way [default: found out by measuring]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub transfer_jobs: Option<u16>,

    /// Show only failures and the end, not what the steps print
    #[arg(short, long)]
    pub quiet: bool,
}

/// Which steps run.
#[derive(clap::Args, Clone, Default)]
pub(super) struct Choice {
    /// Run these steps alone; what they need must be there from earlier
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Run these steps and everything that needs them; what they need must be there from earlier
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub from: Vec<String>,

    /// Run these steps and everything that they need
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub until: Vec<String>,

    /// Run these steps, or all when none is named, whatever was made before
    #[arg(long, value_name = "STEP", value_delimiter = ',', num_args = 0.., require_equals = true)]
    pub force_rerun: Option<Vec<String>>,
}

impl Choice {
    /// As planning takes it.
    pub fn steps(&self) -> crate::plan::choice::Choice {
        crate::plan::choice::Choice { only: self.only.clone(), from: self.from.clone(), until: self.until.clone() }
    }
}

pub(super) fn run(args: &Args, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let quiet = args.how.quiet;
    if let Some(name) = &args.resume {
        let ready = resume::ready(name, &args.how, context, printer)?;
        let (exit, folder) = ready.run(args.output, quiet, printer)?;
        return shell::offer(exit, &folder, args.output, context, printer);
    }
    let Some(file) = &args.file else { return Err(Failed::usage("name a job file, or a run with --resume")) };
    if args.watch {
        return watch::watch(file, &args.how, args.output, context, printer);
    }
    let ready = Ready::new(file, &args.how, context, printer)?;
    let (exit, folder) = ready.run(args.output, quiet, printer)?;
    shell::offer(exit, &folder, args.output, context, printer)
}
