//! Builds what the executor needs to run a step: its command, variables and processes.

use super::outputs::OutputTable;
use super::protect::OwnCopy;
use super::state::{RunState, warn};
use super::{Request, Services, Workspace, environment, prepare, protect};
use crate::exec::{LOG_LIMIT, Launch, Launcher, RankProcess, ranks};

/// A step that is prepared.
pub(super) struct Materialized {
    /// The input of the executor.
    pub launch: Launch,
    /// The command, in the form of the record.
    pub command: String,
    /// Whether the step got what was seen before the run.
    pub unchanged: bool,
    /// The copies that protect its inputs, as long as it runs.
    pub copies: Vec<OwnCopy>,
}

/// Prepares a step, so that it can be launched.
pub(super) fn materialize<E, W: Workspace>(
    index: usize,
    attempt: u32,
    shared: &RunState<E, W>,
) -> Result<Materialized, String> {
    let RunState { request, services, output_table, .. } = shared;
    let prepared = prepare::prepare(index, attempt, request, output_table)?;
    let unchanged = prepared.changed.is_none();
    if let Some(message) = &prepared.changed {
        warn(services, request, index, message.clone());
    }
    let command = prepared.shown.clone();
    let (launch, copies) = launch(index, request, services, output_table, prepared)?;
    Ok(Materialized { launch, command, unchanged, copies })
}

/// The launch of a prepared step, and the copies that it needs as long as it runs.
pub(super) fn launch<E, W: Workspace>(
    index: usize,
    request: &Request,
    services: &Services<E, W>,
    output_table: &OutputTable,
    prepared: prepare::Prepared,
) -> Result<(Launch, Vec<OwnCopy>), String> {
    let step = &request.plan.steps[index];
    let job = request.step_job(index);
    let artifacts = request.run.step(&step.path).artifacts();
    let tracking = services.workspace.begin_step(&step.path, &job, artifacts).unwrap_or_else(|message| {
        warn(services, request, index, format!("this step runs without tracking: {message}"));
        Vec::new()
    });
    let variables = environment::variables(index, request, output_table, &prepared, tracking)?;
    let instances = step.distribution.as_ref().map_or(1, |d| d.instances);
    let distribution = step.distribution.as_ref().and_then(distribution);
    let (launcher, processes) = match &step.distribution {
        Some(_) => ranks::lay_out(distribution.as_ref(), instances, &prepared.user_logs)?,
        None => (Launcher::Bash, vec![RankProcess::only(prepared.user_logs.join("std_log.txt"))]),
    };
    let read_only = protect::read_in_place(step, &prepared.copies, request);
    let launch = Launch {
        command: prepared.command,
        cwd: prepared.wd,
        variables,
        hidden: request.hidden.clone(),
        read_only,
        marker: ("AZUREML_RUN_ID".to_owned(), job),
        processes,
        launcher,
        log_limit: request.log_limit.unwrap_or(LOG_LIMIT),
        secrets: request.secrets.clone(),
        timeout: step.timeout,
        grace: request.grace,
    };
    Ok((launch, prepared.copies))
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
