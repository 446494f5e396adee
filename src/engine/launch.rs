//! Builds what the executor needs to run a step: its command, variables and processes.

use std::path::{Path, PathBuf};

use super::outputs::OutputTable;
use super::protect::OwnCopy;
use super::state::{RunState, warn};
use super::{Request, Services, StepEnvironment, StepRun, environment, is_made_by, parallel, prepare, protect, ray};
use crate::exec::{Access, LOG_LIMIT, Launch, Launcher, Mount, RankProcess, ranks};
use crate::outcome::Failure;
use crate::plan::{Command, Part};

/// A step that is prepared.
pub(super) struct Materialized {
    /// What to launch.
    pub prepared: PreparedLaunch,
    /// The command, in the form of the record.
    pub command: String,
    /// Whether the step got what was seen before the run.
    pub unchanged: bool,
}

/// A launch with everything that it needs.
pub(super) struct PreparedLaunch {
    /// The input of the executor.
    pub launch: Launch,
    /// The copies that protect its inputs, as long as it runs.
    pub copies: Vec<OwnCopy>,
    /// Its environment, which must stay as long as it runs.
    pub environment: StepEnvironment,
}

/// Prepares a step, so that it can be launched.
pub(super) fn materialize(
    index: usize,
    attempt: u32,
    environment: &StepEnvironment,
    shared: &RunState,
) -> Result<Materialized, Failure> {
    let RunState { request, services, output_table, .. } = shared;
    let command = request.step(index).command().ok_or_else(|| Failure::internal("a step has no command"))?;
    let prepared = prepare::prepare(index, command, attempt, request, output_table).map_err(Failure::other)?;
    let unchanged = prepared.changed.is_none();
    if let Some(message) = &prepared.changed {
        warn(services, request, index, message.clone());
    }
    let shown = prepared.shown.clone();
    let prepared = launch(index, command, environment, request, services, output_table, prepared)?;
    Ok(Materialized { prepared, command: shown, unchanged })
}

/// The launch of a step whose folders are prepared.
pub(super) fn launch(
    index: usize,
    command: &Command,
    environment: &StepEnvironment,
    request: &Request,
    services: &Services,
    output_table: &OutputTable,
    prepared: prepare::Prepared,
) -> Result<PreparedLaunch, Failure> {
    let step = request.step(index);
    let job = request.step_job(index);
    let tracking = services.workspace.begin_step(&StepRun::of(index, request)).unwrap_or_else(|message| {
        warn(services, request, index, format!("this step runs without tracking: {message}"));
        Vec::new()
    });
    let variables = environment::variables(index, request, output_table, command, &prepared, environment, tracking)
        .map_err(Failure::other)?;
    let driver = parallel::variables(index, command, &prepared.folder, &prepared.inputs, request);
    let variables = variables.into_iter().chain(driver.map_err(Failure::other)?);
    let ray = command.distribution.as_ref().filter(|distribution| distribution.is_ray());
    let ray = ray.map(|written| ray::cluster(written, &prepared.command)).transpose().map_err(Failure::other)?;
    // The author's variables override that of Ray.
    let (text, ray_variable) = match ray {
        Some(ray) => (ray.command, Some(ray.variable)),
        None => (prepared.command.clone(), None),
    };
    let variables = ray_variable.into_iter().chain(variables);
    let instances = command.distribution.as_ref().filter(|d| !d.is_ray()).map_or(1, |d| d.instances);
    let distribution = command.distribution.as_ref().and_then(distribution);
    let user_logs = prepared.folder.user_logs();
    let (launcher, processes) = match &command.distribution {
        Some(_) => ranks::lay_out(distribution.as_ref(), instances, &user_logs).map_err(Failure::other)?,
        None => (Launcher::Bash, vec![RankProcess::only(prepared.folder.std_log())]),
    };
    let mounts = mounts(index, &prepared, request);
    let launch = Launch {
        command: text,
        cwd: prepared.folder.wd(),
        variables: variables.collect(),
        hidden: request.hidden.clone(),
        mounts,
        marker: ("AZUREML_RUN_ID".to_owned(), job),
        processes,
        launcher,
        log_limit: request.log_limit.unwrap_or(LOG_LIMIT),
        secrets: request.secrets.clone(),
        timeout: step.timeout,
        grace: request.grace,
    };
    Ok(PreparedLaunch { launch, copies: prepared.copies, environment: environment.clone() })
}

/// The files and folders that a step works with: its own folder and those of its outputs, the inputs that it reads in
/// place, and the workspace, which has the outputs of other steps.
fn mounts(index: usize, prepared: &prepare::Prepared, request: &Request) -> Vec<Mount> {
    let step = request.step(index);
    let outputs = step.outputs.iter().filter_map(|output| {
        let path = PathBuf::from(prepared.outputs.get(&output.name)?);
        // The file does not exist yet.
        if is_made_by(step, output.kind) { path.parent().map(Path::to_owned) } else { Some(path) }
    });
    let written = std::iter::once(prepared.folder.path.clone()).chain(outputs);
    let read = protect::read_in_place(step, &prepared.copies, request);
    let given = step.values().flat_map(|value| &value.parts).filter_map(|part| match part {
        Part::Path(path) => Some(path.clone()),
        Part::Remote(remote) => request.snapshot.copy(remote).map(|copy| copy.path.clone()),
        _ => None,
    });
    let workspace = [request.paths.visible.root(), request.paths.workspace()].map(Path::to_owned);
    let mount = |access| move |path| Mount { path, access };
    let read = read.into_iter().map(mount(Access::Read));
    written.map(mount(Access::Write)).chain(read).chain(given.chain(workspace).map(mount(Access::Sealed))).collect()
}

/// The distribution of a step, in the form of the executor.
fn distribution(written: &crate::plan::Distribution) -> Option<ranks::Distribution> {
    let count = |name: &str| written.counts.get(name).copied();
    let per_node = count("process_count_per_instance").unwrap_or(1);
    Some(match written.kind.as_deref()? {
        "pytorch" => ranks::Distribution::PyTorch { per_node },
        "mpi" => ranks::Distribution::Mpi { per_node },
        "tensorflow" => ranks::Distribution::TensorFlow {
            workers: count("worker_count"),
            parameter_servers: count("parameter_server_count").unwrap_or(0),
        },
        _ => return None,
    })
}
