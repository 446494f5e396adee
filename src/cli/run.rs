//! `amlrun run`: the main verb.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use super::signals::{self, StoppedBy};
use super::workspace::LocalWorkspace;
use crate::engine::{self, Request, Surroundings};
use crate::event::journal::Journal;
use crate::event::{Bus, Slow};
use crate::exec::process::LocalProcess;
use crate::exec::{Stop, StopWatch};
use crate::id::RunName;
use crate::outcome::JobStatus;
use crate::plan::Plan;
use crate::report;
use crate::spec::Document;
use crate::store::{Home, RunFolder, at};
use crate::yaml::overrides::Override;

/// Run a job file on this machine.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun run pipeline.yml\n  \
    amlrun run pipeline.yml --set inputs.epochs=5 --set jobs.train.inputs.lr=0.01\n  \
    amlrun run pipeline.yml --jobs 1 --output jsonl | jq .event\n\n\
    Ctrl-C ends the steps in order (TERM, then KILL after the grace time); a second one ends them at once.")]
pub(super) struct Args {
    /// The job file: a pipeline or command job in Azure ML's YAML
    file: PathBuf,

    #[command(flatten)]
    pub how: How,

    /// How to show the run
    #[arg(long, value_enum, default_value = "text")]
    output: View,
}

/// What `run` and `job create` have in common.
#[derive(clap::Args)]
pub(super) struct How {
    /// Change a value of the file before it is read, as in inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<Override>,

    /// The run's name [default: the file's 'name', or a fresh one]
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,

    /// How many steps may run at once [default: the number of cores]
    #[arg(short, long, value_name = "N", env = "AMLRUN_JOBS", hide_env_values = true,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,

    /// Seconds a step has to end by itself when it is told to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 10, env = "AMLRUN_GRACE", hide_env_values = true)]
    pub grace: u64,

    /// Show only failures and the end, not what the steps print
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum View {
    /// For people: live on a terminal, plain lines elsewhere
    Text,
    /// One JSON object a line, as it happens
    Jsonl,
    /// For people, beside an answer on stdout
    #[value(skip)]
    Aside,
}

pub(super) fn run(args: &Args, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let ready = Ready::new(&args.file, &args.how, context, printer)?;
    ready.run(args.output, args.how.quiet, printer).map(|(exit, _)| exit)
}

/// A run that was accepted and has its folder.
pub(super) struct Ready {
    plan: Plan,
    home: Home,
    folder: RunFolder,
    experiment: String,
    job_file: PathBuf,
    jobs: usize,
    grace: Duration,
}

impl Ready {
    /// Loads, checks and plans the file; nothing is written before it is accepted.
    pub fn new(file: &Path, how: &How, context: &Context, printer: &Printer) -> Result<Self, Failed> {
        let (plan, document) = context.accepted(file, &how.set, printer)?;
        let home = context.home_of(file);
        home.create()?;
        let name = run_name(how.name.as_deref(), &document)?;
        let folder = home.create_run(&name)?;
        keep(&folder, &plan, &document)?;
        let job_file = std::path::absolute(&document.path).unwrap_or(document.path);
        let here = std::env::current_dir().unwrap_or_default();
        let default_experiment = || here.file_name().map_or("Default".into(), |n| n.to_string_lossy().into_owned());
        let experiment = plan.experiment_name.clone().unwrap_or_else(default_experiment);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = how.jobs.map_or(cores, usize::from);
        Ok(Self { plan, home, folder, experiment, job_file, jobs, grace: Duration::from_secs(how.grace) })
    }

    /// Runs it in this process to its end.
    pub fn run(self, view: View, quiet: bool, printer: &Printer) -> Result<(Exit, RunFolder), Failed> {
        let folder = self.folder.clone();
        let journal = Journal::create(&folder.events()).map_err(at("make", &folder.events()))?;
        let bus = Arc::new(Bus::new(Some(journal)));
        let (stream, paint) = (printer.stream(), printer.paint());
        match view {
            View::Jsonl => bus.watch(Slow::Waits, move |notes| report::jsonl::draw(notes, stream, quiet)),
            View::Aside => {
                bus.watch(Slow::Waits, move |notes| report::plain::draw(notes, std::io::stderr(), paint, quiet));
            }
            View::Text if printer.is_terminal() => {
                bus.watch(Slow::LeavesOut, move |notes| report::terminal::draw(notes, paint, quiet));
            }
            View::Text => bus.watch(Slow::Waits, move |notes| report::plain::draw(notes, stream, paint, quiet)),
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| Failed::new(format!("cannot start: {e}")))?;
        let (ask, asked) = watch::channel(Stop::No);
        let stopped_by = StoppedBy::default();
        signals::hear(ask, bus.clone(), stopped_by.clone())
            .map_err(|e| Failed::new(format!("cannot listen for signals: {e}")))?;
        let exit = runtime.block_on(self.drive(bus.clone(), asked, &stopped_by));
        // Views may have scrolled by, or show JSON to a program: whoever looks at the end sees it here.
        if let Some(trouble) = bus.close() {
            printer.err(&format!("warning: {trouble}\n"));
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok((exit?, folder))
    }

    async fn drive(self, bus: Arc<Bus>, asked: StopWatch, stopped_by: &StoppedBy) -> Result<Exit, Failed> {
        let shells = self.home.for_shells()?;
        let registry = Context::registry(&self.home)?;
        let (job, artifacts) = (self.folder.name.to_string(), self.folder.artifacts());
        let (home, experiment) = (&self.home, &self.experiment);
        let (workspace, warning) = LocalWorkspace::open(home, registry, experiment, &job, artifacts, &self.plan).await;
        let workspace = Arc::new(workspace);
        let own_folder = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        let request = Request {
            plan: self.plan,
            run: self.folder,
            home: shells,
            experiment: self.experiment,
            job_file: self.job_file,
            jobs: self.jobs,
            grace: self.grace,
            path: own_folder.into_iter().collect(),
            warnings: warning.into_iter().collect(),
        };
        let executor = Arc::new(LocalProcess::guarded());
        let around = Surroundings { executor: executor.clone(), workspace: workspace.clone(), bus };
        let status = engine::run(request, around, asked).await;
        executor.end_strays();
        workspace.close(status).await;
        Ok(match status {
            JobStatus::Completed => Exit::Ok,
            JobStatus::Canceled => stopped_by.get().copied().unwrap_or(Exit::Interrupted),
            _ => Exit::Failed,
        })
    }
}

fn run_name(asked: Option<&str>, document: &Document) -> Result<RunName, Failed> {
    let written = document.job.common().name.as_ref().map(|n| n.value.as_str());
    match asked.or(written) {
        Some(name) => RunName::parse(name).map_err(|e| Failed::usage(e.to_string())),
        None => Ok(RunName::generate()),
    }
}

/// The job as given and the plan that it became, for whoever looks at the run later.
fn keep(folder: &RunFolder, plan: &Plan, document: &Document) -> Result<(), Failed> {
    let job_file = folder.job_file();
    std::fs::write(&job_file, document.text.as_bytes()).map_err(at("write", &job_file))?;
    let text = serde_json::to_string(plan).unwrap_or_default();
    std::fs::write(folder.plan(), text).map_err(at("write", &folder.plan()))?;
    Ok(())
}
