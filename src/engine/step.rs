//! One step from its folders to its outputs.

use std::sync::Arc;

use super::{Request, Surroundings, Workspace, collect, contract, prepare};
use crate::event::{OutputInfo, What};
use crate::exec::{Ending, Executor, Launch, LineSink, Stop, StopWatch};
use crate::outcome::{Failure, JobStatus, StepOutcome};

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
    let (command, log) = (launch.command.clone(), launch.log.clone());
    around.bus.say(What::StepStarted { step: step.clone(), command, log });
    let lines: LineSink = {
        let (bus, step) = (around.bus.clone(), step.clone());
        Arc::new(move |line| bus.line(&step, line))
    };
    let outcome = outcome(around.executor.run(launch, lines, stop).await);
    let collected = blocking({
        let (request, around) = (request.clone(), around.clone());
        let completed = outcome == StepOutcome::Completed;
        move || {
            let collected =
                if completed { collect::collect(index, &request, &around) } else { Ok(Vec::new()) };
            let status = match (&collected, completed) {
                (Ok(_), true) => JobStatus::Completed,
                (Ok(_), false) => outcome.status(),
                (Err(_), _) => JobStatus::Failed,
            };
            let job = request.step_job(index);
            if let Err(message) = around.workspace.end_step(&job, status) {
                warn(&around, &request, index, message);
            }
            match collected {
                Ok(outputs) => Ok(Finished { outcome, outputs }),
                Err(failure) => {
                    Ok(Finished { outcome: StepOutcome::Failed { failure }, outputs: Vec::new() })
                }
            }
        }
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
        log: prepared.log,
        timeout: step.timeout,
        grace: request.grace,
    })
}

pub(super) fn warn<E, W>(around: &Surroundings<E, W>, request: &Request, index: usize, message: String) {
    let step = Some(request.plan.steps[index].path.clone());
    around.bus.say(What::Warning { step, message });
}

fn outcome(ending: Ending) -> StepOutcome {
    let failure = match ending {
        Ending::Exited(0) => return StepOutcome::Completed,
        Ending::Stopped => return StepOutcome::Canceled,
        Ending::Exited(code) => Failure::ExitCode { code },
        Ending::Signaled(signal) => Failure::Signal { signal },
        Ending::TimedOut(limit) => Failure::TimedOut { limit },
        Ending::NotStarted(message) => Failure::Surroundings { message },
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
