//! One step from its folders to its outputs.

use std::sync::Arc;

use super::{Request, Surroundings, Tracked, Workspace, collect, contract, prepare};
use crate::event::{OutputInfo, What};
use crate::exec::{Ended, Ending, Executor, LOG_LIMIT, Launch, LineSink, RankProcess, Starter, Stop, StopWatch};
use crate::outcome::{Failure, StepOutcome};

/// How a step ended and what it wrote.
pub(super) struct Finished {
    pub outcome: StepOutcome,
    pub outputs: Vec<OutputInfo>,
}

/// Runs one step. Whatever goes wrong is its outcome, not an error.
pub(super) async fn run<E: Executor, W: Workspace>(
    index: usize,
    request: Arc<Request>,
    around: Arc<Surroundings<E, W>>,
    stop: StopWatch,
) -> Finished {
    let step = request.plan.steps[index].path.clone();
    around.bus.say(What::StepPreparing { step: step.clone() });
    let laid_out = blocking({
        let (request, around) = (request.clone(), around.clone());
        move || lay_out(index, &request, &around)
    })
    .await;
    let launch = match laid_out {
        Ok(launch) => launch,
        Err(message) => return message.into(),
    };
    if *stop.borrow() != Stop::No {
        return Finished { outcome: StepOutcome::Canceled, outputs: Vec::new() };
    }
    let log = launch.processes.first().map(|process| process.log.clone()).unwrap_or_default();
    let command = launch.command.clone();
    around.bus.say(What::StepStarted { step: step.clone(), command, log });
    let lines: LineSink = {
        let (bus, step) = (around.bus.clone(), step.clone());
        Arc::new(move |line| bus.line(&step, &line))
    };
    let Ended { ending, process, warnings } = around.executor.run(launch, lines, stop).await;
    for message in warnings {
        warn(&around, &request, index, message);
    }
    let outcome = outcome(ending, process);
    let collected = blocking({
        let (request, around) = (request.clone(), around.clone());
        move || Ok(finish(index, outcome, &request, &around))
    })
    .await;
    collected.unwrap_or_else(Finished::from)
}

fn lay_out<E: Executor, W: Workspace>(
    index: usize,
    request: &Request,
    around: &Surroundings<E, W>,
) -> Result<Launch, String> {
    let prepared = prepare::prepare(index, request)?;
    let step = &request.plan.steps[index];
    let job = request.step_job(index);
    let artifacts = request.run.step(&step.path).artifacts();
    let tracking = around.workspace.begin_step(&step.path, &job, artifacts).unwrap_or_else(|message| {
        warn(around, request, index, format!("this step runs without tracking: {message}"));
        Vec::new()
    });
    let variables = contract::variables(index, request, &prepared, tracking);
    Ok(Launch {
        command: prepared.command,
        cwd: prepared.wd,
        variables,
        hidden: contract::hidden().into(),
        mark: ("AZUREML_RUN_ID".to_owned(), job),
        processes: vec![RankProcess::only(prepared.log)],
        starter: Starter::Bash,
        log_limit: LOG_LIMIT,
        timeout: step.timeout,
        grace: request.grace,
    })
}

/// Collects the outputs of a step that completed and closes its MLflow run.
fn finish<E, W: Workspace>(
    index: usize,
    outcome: StepOutcome,
    request: &Request,
    around: &Surroundings<E, W>,
) -> Finished {
    let finished = match outcome {
        StepOutcome::Completed => match collect::collect(index, request, around) {
            Ok(outputs) => Finished { outcome: StepOutcome::Completed, outputs },
            Err(failure) => Finished { outcome: StepOutcome::Failed { failure }, outputs: Vec::new() },
        },
        outcome => Finished { outcome, outputs: Vec::new() },
    };
    let step = request.plan.steps[index].path.as_str();
    match around.workspace.end_step(step, &request.step_job(index), finished.outcome.status()) {
        Ok(Tracked { metrics, models }) if metrics.is_empty() && models.is_empty() => {}
        Ok(Tracked { metrics, models }) => {
            around.bus.say(What::StepTracked { step: step.to_owned(), metrics, models });
        }
        Err(message) => warn(around, request, index, message),
    }
    finished
}

pub(super) fn warn<E, W>(around: &Surroundings<E, W>, request: &Request, index: usize, message: String) {
    let step = Some(request.plan.steps[index].path.clone());
    around.bus.say(What::Warning { step, message });
}

fn outcome(ending: Ending, process: Option<String>) -> StepOutcome {
    let failure = match ending {
        Ending::Exited(0) => return StepOutcome::Completed,
        Ending::Stopped => return StepOutcome::Canceled,
        Ending::Exited(code) => Failure::ExitCode { code },
        Ending::CommandNotFound(command) => Failure::CommandNotFound { command },
        Ending::OutOfMemory => Failure::OutOfMemory,
        Ending::Signaled(signal) => Failure::Signal { signal },
        Ending::TimedOut(limit) => Failure::TimedOut { limit },
        Ending::NotStarted(message) => Failure::Surroundings { message },
    };
    let failure = match process {
        Some(process) => Failure::Process { process, failure: Box::new(failure) },
        None => failure,
    };
    StepOutcome::Failed { failure }
}

/// Disk and database work, off the threads that serve pipes and timers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(broken) => Err(format!("amlrun made a mistake; please report it: {broken}")),
    }
}
