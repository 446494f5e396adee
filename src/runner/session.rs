//! An accepted run: its plan, its folder, and what the engine needs to run it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::container_environment::ContainerEnvironment;
use super::local_environment::{self, LocalEnvironment};
use super::{environments, job_names};
use crate::config::{Config, trust};
use crate::data::inspection::InspectionOptions;
use crate::engine::{self, Request, Resumed, RunPaths, Services};
use crate::error::Failed;
use crate::event::journal::Journal;
use crate::event::{Bus, Event};
use crate::exec::StopWatch;
use crate::exec::process::LocalProcess;
use crate::id::RunName;
use crate::outcome::JobStatus;
use crate::plan::{Plan, Step};
use crate::relative;
use crate::runner::options::RunOptions;
use crate::runner::project::Project;
use crate::runner::run_plan::RunPlan;
use crate::runner::services::LocalWorkspace;
use crate::secret::{mask_signatures, write_file};
use crate::spec::Document;
use crate::store::{Home, RunFolder, at};

/// The default number of seconds between TERM and KILL.
const GRACE: u64 = 10;

/// An accepted run that has its folder.
pub(crate) struct RunSession {
    pub run_plan: RunPlan,
    pub home: Home,
    pub folder: RunFolder,
    pub experiment: String,
    /// The job name of each step.
    pub jobs_of_steps: Vec<String>,
    pub limits: Limits,
    /// Records events and passes them to the views.
    pub bus: Arc<Bus>,
    pub resumed: Option<Resumed>,
    /// The events that are already in the record.
    pub past: Vec<Event>,
    /// Notified when a single step is to be canceled.
    pub cancels: Arc<Notify>,
}

/// The limits of a run.
pub(crate) struct Limits {
    pub jobs: usize,
    pub grace: Duration,
    pub log: Option<u64>,
}

impl Limits {
    /// Limits from the project's file and the command line. The command line takes precedence.
    pub(crate) fn of(options: &RunOptions, config: &Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            jobs: options.jobs.or(config.jobs).map_or(cores, usize::from).max(1),
            grace: Duration::from_secs(options.grace.or(config.grace).unwrap_or(GRACE)),
            log: config.log_limit,
        }
    }
}

impl RunSession {
    /// Loads, checks and plans the file, and makes the cache decisions. Nothing is written before the file is accepted.
    pub(crate) fn new(file: &Path, options: &RunOptions, project: &Project) -> Result<Self, Failed> {
        let config = Config::near(file.parent().unwrap_or(file))?;
        let locked = options.locked.as_deref();
        let config = environments::chosen(config, options.environment, locked, &project.home_of(file))?;
        let (plan, document) = project.accepted(file, &options.set, &config)?;
        let home = project.home_of(file);
        home.create()?;
        let name = run_name(options.name.as_deref(), &document)?;
        // A generated name cannot collide.
        if options.name.is_some() || document.job.common().name.is_some() {
            job_names::check(&home, &name)?;
        }
        let job_file = std::path::absolute(&document.path).unwrap_or_else(|_| document.path.clone());
        trust::remember(&home, &config);
        let inspection = InspectionOptions {
            jobs: options.transfer_jobs,
            reporter: Some(project.reporter()),
            ..InspectionOptions::default()
        };
        let run_plan = RunPlan::new(plan, &job_file, &home, &options.steps, &config, inspection)?;
        run_plan.startable()?;
        fits(&home, &name, &run_plan.plan)?;
        let (folder, record) = home.create_run(&name)?;
        keep(&folder, &run_plan.plan, &document)?;
        let here = std::env::current_dir().unwrap_or_default();
        let default_experiment = || here.file_name().map_or("Default".into(), |n| n.to_string_lossy().into_owned());
        let experiment = run_plan.plan.experiment_name.clone().unwrap_or_else(default_experiment);
        let limits = Limits::of(options, &config);
        let jobs_of_steps = job_names::of_steps(&home, &name, &run_plan.plan)?;
        let bus = Arc::new(Bus::new(Some(Journal::of(record, home.root()))));
        Ok(Self {
            run_plan,
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

    /// Runs the plan to its end, and returns its status. `stop` signals a request to stop. Must be called inside a Tokio
    /// runtime.
    pub(crate) async fn run(self, bus: Arc<Bus>, stop: StopWatch) -> Result<JobStatus, Failed> {
        let executor = Arc::new(LocalProcess::watched());
        let (request, services, workspace) = self.request(bus, executor.clone())?;
        let status = engine::run(request, services, stop).await;
        executor.end_orphans();
        workspace.close(status).await;
        Ok(status)
    }

    /// What the engine needs, and the workspace, which must be closed at the end. `executor` runs the commands. Must be
    /// called inside a Tokio runtime.
    pub(crate) fn request(
        self,
        bus: Arc<Bus>,
        executor: Arc<LocalProcess>,
    ) -> Result<(Request, Services, Arc<LocalWorkspace>), Failed> {
        let Self { run_plan, home, folder, experiment, jobs_of_steps, limits, resumed, cancels, .. } = self;
        let shells = home.for_shells()?;
        let runtime = tokio::runtime::Handle::current();
        let workspace =
            LocalWorkspace::new(&home, &experiment, &folder, &run_plan, bus.clone(), runtime, resumed.is_some());
        let workspace = Arc::new(workspace);
        let environments = run_plan.environments.clone();
        let policy = environments.policy().name();
        let locked = environments.locked();
        let container_note = local_environment::container_note(&run_plan.plan, &environments);
        let note = local_environment::note(&run_plan.plan, &run_plan.decisions, &environments);
        let (images, passed) = (run_plan.images.clone(), run_plan.passed_on.clone());
        let containers = ContainerEnvironment::new(executor.clone(), images, passed, bus.clone());
        let environments = Arc::new(LocalEnvironment::new(
            executor,
            shells.clone(),
            environments,
            containers,
            bus.clone(),
            &run_plan.plan,
        ));
        let common = engine::common(&folder, &experiment);
        let secrets = run_plan.data.secrets(&run_plan.plan).into();
        let hidden = run_plan.kept_out.iter().cloned().chain(run_plan.data.hidden_variables()).collect();
        let mut plan = run_plan.plan;
        plan.notes.extend(container_note);
        plan.notes.extend(note);
        let request = Request {
            plan,
            paths: RunPaths { real: folder, visible: shells },
            experiment,
            job_file: run_plan.job_file,
            jobs: limits.jobs,
            grace: limits.grace,
            log_limit: limits.log,
            environments: policy,
            locked,
            secrets,
            hidden,
            common,
            warnings: run_plan.warnings,
            reuse: run_plan.reuse,
            jobs_of_steps,
            snapshot: run_plan.snapshot,
            decisions: run_plan.decisions,
            added: engine::AddedSteps::default(),
            force: run_plan.force,
            resumed,
            cancels,
        };
        Ok((request, Services { workspace: workspace.clone(), environments, bus }, workspace))
    }
}

/// Checks that the longest folder names that this run would create fit into the file system's limits.
fn fits(home: &Home, name: &RunName, plan: &Plan) -> Result<(), Failed> {
    const LONGEST: usize = 255;
    let name_of = |path: PathBuf| path.file_name().map_or(0, std::ffi::OsStr::len);
    for step in &plan.steps {
        // Leave space for a large attempt number, and for the names of trials and iterations.
        let outputs =
            step.outputs.iter().map(|output| name_of(home.output(name, &longest(step), &output.name, 1_000_000)));
        if outputs.chain([longest(step).len()]).any(|length| length > LONGEST) {
            let message = format!("the names of the run and of '{}' with its outputs are too long together", step.path);
            let hint =
                format!("they become one name of a folder, which has at most {LONGEST} bytes: shorten one of them");
            return Err(Failed::new(message).hint(hint));
        }
    }
    Ok(())
}

/// The longest path of a step, or of one that it adds.
fn longest(step: &Step) -> String {
    let template = step.body.template().into_iter().flat_map(|template| &template.steps);
    let added =
        template.map(|inner| format!("{}.iteration_1000{}", step.path, longest(inner).trim_start_matches(&step.path)));
    added.max_by_key(String::len).unwrap_or_else(|| step.path.clone())
}

fn run_name(asked: Option<&str>, document: &Document) -> Result<RunName, Failed> {
    let written = document.job.common().name.as_ref().map(|n| n.value.as_str());
    match asked.or(written) {
        Some(name) => RunName::parse(name).map_err(|e| Failed::usage(e.to_string())),
        None => Ok(RunName::generate()),
    }
}

/// Stores the job as given and its plan, for resuming the run and for commands that show it.
fn keep(folder: &RunFolder, plan: &Plan, document: &Document) -> Result<(), Failed> {
    let job_file = folder.job_file();
    // A signature grants access to anyone who has it. Keys in fields of their own stay in `plan.json`, because steps
    // need them.
    let mut written = document.text.to_string();
    mask_signatures(&mut written);
    write_file(&job_file, &written).map_err(at("write", &job_file))?;
    let kept = plan.clone().with_paths(&|path| relative::to(folder.workspace(), path));
    let text = serde_json::to_string(&kept).unwrap_or_default();
    write_file(&folder.plan(), &text).map_err(at("write", &folder.plan()))?;
    Ok(())
}
