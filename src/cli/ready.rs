//! A run that was accepted: what it needs is put together here, and then it is made in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::config::{Config, user};
use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::outlook::{Looking, Outlook};
use super::printer::Printer;
use super::run::How;
use super::signals::{self, StoppedBy};
use super::workspace::LocalWorkspace;
use super::{host, job_names};
use crate::engine::{self, Request, Resumed, Services};
use crate::event::journal::Journal;
use crate::event::{Bus, Event, Slow};
use crate::exec::process::LocalProcess;
use crate::exec::{Stop, StopWatch};
use crate::id::RunName;
use crate::outcome::JobStatus;
use crate::plan::Plan;
use crate::relative;
use crate::report;
use crate::secret::{mask_signatures, write_file};
use crate::spec::Document;
use crate::store::{Home, RunFolder, at};

/// How a run is shown.
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

/// The time between TERM and KILL when nobody says anything.
const GRACE: u64 = 10;

/// A run that was accepted and has its folder.
pub(super) struct Ready {
    pub outlook: Outlook,
    pub home: Home,
    pub folder: RunFolder,
    pub experiment: String,
    /// The job name of each step.
    pub jobs_of_steps: Vec<String>,
    pub limits: Limits,
    /// Records what happens.
    pub bus: Arc<Bus>,
    pub resumed: Option<Resumed>,
    /// What the record holds already.
    pub past: Vec<Event>,
    /// Notified when single steps are to be canceled.
    pub cancels: Arc<Notify>,
}

/// What bounds a run.
pub(super) struct Limits {
    pub jobs: usize,
    pub grace: Duration,
    pub log: Option<u64>,
}

impl Limits {
    /// From the project's file and the command line, which wins.
    pub fn of(how: &How, config: &Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            jobs: how.jobs.or(config.jobs).map_or(cores, usize::from).max(1),
            grace: Duration::from_secs(how.grace.or(config.grace).unwrap_or(GRACE)),
            log: config.log_limit,
        }
    }
}

impl Ready {
    /// Loads, checks, plans and looks ahead; nothing is written before the file is accepted.
    pub fn new(file: &Path, how: &How, context: &Context, printer: &Printer) -> Result<Self, Failed> {
        let config = Config::near(file.parent().unwrap_or(file))?;
        let (plan, document) = context.accepted(file, &how.set, &config.local(), printer)?;
        let home = context.home_of(file);
        home.create()?;
        let name = run_name(how.name.as_deref(), &document)?;
        // A fresh name is nobody's.
        if how.name.is_some() || document.job.common().name.is_some() {
            job_names::check(&home, &name)?;
        }
        let job_file = std::path::absolute(&document.path).unwrap_or_else(|_| document.path.clone());
        user::remember(&home, &config);
        let looking = Looking { jobs: how.transfer_jobs, ..Looking::default() };
        let outlook = Outlook::new(plan, &job_file, &home, &how.choice, &config, looking)?;
        outlook.startable()?;
        fits(&home, &name, &outlook.plan)?;
        let (folder, record) = home.create_run(&name)?;
        keep(&folder, &outlook.plan, &document)?;
        let here = std::env::current_dir().unwrap_or_default();
        let default_experiment = || here.file_name().map_or("Default".into(), |n| n.to_string_lossy().into_owned());
        let experiment = outlook.plan.experiment_name.clone().unwrap_or_else(default_experiment);
        let limits = Limits::of(how, &config);
        let jobs_of_steps = job_names::of_steps(&home, &name, &outlook.plan)?;
        let bus = Arc::new(Bus::new(Some(Journal::of(record, home.root()))));
        Ok(Self {
            outlook,
            home,
            folder,
            experiment,
            jobs_of_steps,
            limits,
            bus,
            resumed: None,
            past: Vec::new(),
            cancels: Arc::default(),
        })
    }

    /// Runs it in this process to its end.
    pub fn run(mut self, view: View, quiet: bool, printer: &Printer) -> Result<(Exit, RunFolder), Failed> {
        let folder = self.folder.clone();
        let bus = self.bus.clone();
        let (stream, paint) = (printer.stream(), printer.paint());
        match view {
            View::Jsonl => bus.watch(Slow::Waits, move |notes| report::jsonl::draw(notes, stream, quiet)),
            View::Aside => {
                let stream = printer.side_stream();
                bus.watch(Slow::Waits, move |notes| report::plain::draw(notes, stream, paint, quiet));
            }
            View::Text if printer.is_terminal() => {
                bus.watch(Slow::LeavesOut, move |notes| report::terminal::draw(notes, paint, quiet));
            }
            View::Text => bus.watch(Slow::Waits, move |notes| report::plain::draw(notes, stream, paint, quiet)),
        }
        for event in std::mem::take(&mut self.past) {
            bus.past(event);
        }
        // One thread: most of what a step costs here is the way from one thread to another. What takes long (copying code,
        // sealing folders, databases) has threads of its own.
        let runtime = tokio::runtime::Builder::new_current_thread()
            // Timers and signals are looked at between so many pieces of work, each of them up to 64 KiB of output.
            .event_interval(8)
            .enable_all()
            .build()
            .map_err(|e| Failed::new(format!("cannot start: {e}")))?;
        let (ask, asked) = watch::channel(Stop::None);
        let stopped_by = StoppedBy::default();
        let _hearing = signals::hear(ask, bus.clone(), stopped_by.clone(), self.cancels.clone())
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
        let executor = Arc::new(LocalProcess::watched());
        let (request, around) = self.request(bus, executor.clone())?;
        let workspace = around.workspace.clone();
        let status = engine::run(request, around, asked).await;
        executor.end_orphans();
        workspace.close(status).await;
        Ok(match status {
            JobStatus::Completed => Exit::Ok,
            JobStatus::Canceled => stopped_by.get().copied().unwrap_or(Exit::Interrupted),
            _ => Exit::Failed,
        })
    }

    /// What the engine gets. To be called where a runtime is.
    pub fn request<E>(self, bus: Arc<Bus>, executor: Arc<E>) -> Result<(Request, Services<E, LocalWorkspace>), Failed> {
        let Self { outlook, home, folder, experiment, jobs_of_steps, limits, resumed, cancels, .. } = self;
        let shells = home.for_shells()?;
        let runtime = tokio::runtime::Handle::current();
        let workspace =
            LocalWorkspace::new(&home, &experiment, &folder, &outlook, bus.clone(), runtime, resumed.is_some());
        let workspace = Arc::new(workspace);
        let (path, note) = host::path(&shells, &outlook);
        let common = engine::common(&folder, &experiment, &path);
        let secrets = outlook.data.secrets(&outlook.plan).into();
        let hidden = outlook.kept_out.iter().cloned().chain(outlook.data.hidden_variables()).collect();
        let mut plan = outlook.plan;
        plan.notes.extend(note);
        let request = Request {
            plan,
            run: folder,
            home: shells,
            experiment,
            job_file: outlook.job_file,
            jobs: limits.jobs,
            grace: limits.grace,
            log_limit: limits.log,
            secrets,
            hidden,
            common,
            warnings: outlook.warnings,
            reuse: outlook.reuse,
            jobs_of_steps,
            snapshot: outlook.snapshot,
            decisions: outlook.decisions,
            force: outlook.force,
            resumed,
            cancels,
        };
        Ok((request, Services { executor, workspace, bus }))
    }
}

/// Whether the longest names of folders that this run would make fit into a file system.
fn fits(home: &Home, name: &RunName, plan: &Plan) -> Result<(), Failed> {
    const LONGEST: usize = 255;
    let name_of = |path: PathBuf| path.file_name().map_or(0, std::ffi::OsStr::len);
    for step in &plan.steps {
        // Room for many tries.
        let outputs = step.outputs.iter().map(|output| name_of(home.output(name, &step.path, &output.name, 1_000_000)));
        if outputs.chain([step.path.len()]).any(|length| length > LONGEST) {
            let message = format!("the names of the run and of '{}' with its outputs are too long together", step.path);
            let hint =
                format!("they become one name of a folder, which has at most {LONGEST} bytes: shorten one of them");
            return Err(Failed::new(message).hint(hint));
        }
    }
    Ok(())
}

fn run_name(asked: Option<&str>, document: &Document) -> Result<RunName, Failed> {
    let written = document.job.common().name.as_ref().map(|n| n.value.as_str());
    match asked.or(written) {
        Some(name) => RunName::parse(name).map_err(|e| Failed::usage(e.to_string())),
        None => Ok(RunName::generate()),
    }
}

/// The job as given and the plan that it became, for whoever looks at the run later or goes on with it.
fn keep(folder: &RunFolder, plan: &Plan, document: &Document) -> Result<(), Failed> {
    let job_file = folder.job_file();
    // Signatures open what they are for to anybody; keys under names of their own stand in `plan.json` for the steps.
    let mut written = document.text.to_string();
    mask_signatures(&mut written);
    write_file(&job_file, &written).map_err(at("write", &job_file))?;
    let kept = plan.clone().with_paths(&|path| relative::to(folder.workspace(), path));
    let text = serde_json::to_string(&kept).unwrap_or_default();
    write_file(&folder.plan(), &text).map_err(at("write", &folder.plan()))?;
    Ok(())
}

/// The plan of a run that exists.
pub(super) fn kept_plan(folder: &RunFolder) -> Result<Plan, Failed> {
    let path: PathBuf = folder.plan();
    let text = std::fs::read_to_string(&path).map_err(at("read", &path))?;
    let plan: Plan = serde_json::from_str(&text).map_err(|why| {
        Failed::new(format!("the plan of the run '{}' cannot be read: {why}", folder.name))
            .hint("another version of amlrun made it: run its job file again")
    })?;
    Ok(plan.with_paths(&|path| relative::from(folder.workspace(), path)))
}
