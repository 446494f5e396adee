//! One step, from its folders to its outputs.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::cache::{CacheDecision, CacheLookup, Decision, KeyState, info, local_paths};
use super::collect::Collected;
use super::launch::{Materialized, PreparedLaunch, materialize};
use super::protect::OwnCopy;
use super::state::{CompletedStep, Finished, RunState, blocking, warn};
use super::{
    Request, StepEnvironment, Tracked, cache, collect, copy, loops, parallel, protect, staging, sweep, unchanged,
};
use crate::clock::Timestamp;
use crate::event::{EventKind, OutputInfo, ProcessLog};
use crate::exec::{Ended, Ending, Observer, RankProcess, Shown, Stop, StopWatch};
use crate::handle::Handle;
use crate::outcome::{Failure, SkipReason, StepOutcome};
use crate::plan::{Command, InputMode, PortType, StepBody, Substitute};
use crate::reason::Reason;
use crate::store::tree;

/// Runs one step, or finds out that it does not have to run. Every error becomes the step's outcome.
pub(super) async fn run(index: usize, shared: Arc<RunState>, mut stop: StopWatch) -> Finished {
    let step = shared.request.step(index);
    if let Some(finished) = staging::fetch(index, &shared, &stop).await {
        return finished;
    }
    let decision = match shared.request.decision(index).cache {
        CacheDecision::Pending => {
            // What is installed in its environment is part of the cache key.
            if is_unbuilt(index, &shared)
                && let Err(failure) = provide(index, &shared, &stop).await
            {
                return staging::ended_early(failure, &stop);
            }
            match unless_stopped(decide_late(index, &shared), &mut stop).await {
                Some(Ok(decision)) => decision,
                Some(Err(failure)) => return Finished::failed(failure),
                None => return Finished::new(StepOutcome::Skipped { reason: SkipReason::RunCanceled }),
            }
        }
        _ => shared.request.decision(index).clone(),
    };
    if let CacheDecision::Hit(cached) = decision.cache {
        let outputs: Vec<OutputInfo> = cached.outputs.iter().map(info).collect();
        if staging::places_remotely(step)
            && let Err(failed) = staging::upload(index, outputs.clone(), &shared, &stop).await
        {
            return failed;
        }
        let (cached, because) = (Some(cached), decision.because);
        return Finished { outputs, cached, because, ..Finished::new(StepOutcome::Completed) };
    }
    let first = shared.request.first_attempt(index);
    let last = first + step.retries;
    parallel::forget_forced(index, &shared.request);
    let mut attempt = first;
    loop {
        let because = if attempt == first { decision.because.clone() } else { Vec::new() };
        shared.services.bus.publish(EventKind::StepPreparing { step: step.path.clone(), attempt, because });
        let finished = attempt_once(index, attempt, &shared, &mut stop).await;
        let StepOutcome::Failed { failure } = &finished.outcome else { return finished };
        // If the step changed its inputs, another attempt would read the changed data. If only the upload failed, the
        // outputs exist already.
        let spoilt = matches!(failure, Failure::InputModified { .. });
        if attempt == last || spoilt || finished.completed.is_some() || *stop.borrow() != Stop::None {
            return finished;
        }
        let of = last + 1 - first;
        let what = EventKind::StepRetried { step: step.path.clone(), failure: failure.clone(), attempt, of };
        shared.services.bus.publish(what);
        attempt += 1;
    }
}

async fn attempt_once(index: usize, attempt: u32, shared: &Arc<RunState>, stop: &mut StopWatch) -> Finished {
    let step = shared.request.step(index);
    match (&step.substitute, &step.body) {
        (Some(Substitute::Stub { .. }), _) => {
            let (shared, watch) = (shared.clone(), stop.clone());
            let stub = blocking(move || Ok(stub(index, attempt, &shared, &watch)));
            match unless_stopped(stub, stop).await {
                Some(finished) => finished.unwrap_or_else(Finished::failed),
                None => Finished::new(StepOutcome::Canceled),
            }
        }
        // Steps with another substitute are reused or skipped, unless the user reruns one.
        (_, StepBody::Command(_)) => run_command(index, attempt, shared, stop).await,
        (_, StepBody::Copy(mode)) => match copy::run(index, attempt, *mode, shared, stop).await {
            Ok(()) => {
                let (shared, watch) = (shared.clone(), stop.clone());
                let collected = blocking(move || {
                    let unchanged =
                        !local_paths(shared.request.step(index)).iter().any(|p| unchanged::local(p, &shared.request));
                    Ok(made(index, attempt, unchanged, &shared, &watch))
                });
                collected.await.unwrap_or_else(Finished::failed)
            }
            Err(finished) => finished,
        },
        (_, StepBody::IfElse(condition)) => loops::decide(condition, shared),
        (_, StepBody::DoWhile(written)) => loops::do_while(index, written, shared, stop).await,
        (_, StepBody::ParallelFor(written)) => loops::parallel_for(index, attempt, written, shared, stop).await,
        (_, StepBody::Sweep(sweep)) => sweep::run(index, sweep, shared, stop).await,
        (_, StepBody::Unsupported { kind }) => {
            Finished::failed(Failure::other(format!("a step of type '{kind}' cannot run on this machine")))
        }
    }
}

/// One attempt of a step that runs a command.
async fn run_command(index: usize, attempt: u32, shared: &Arc<RunState>, stop: &mut StopWatch) -> Finished {
    let step = shared.request.step(index);
    let environment = match provide(index, shared, stop).await {
        Ok(environment) => environment,
        Err(failure) => return staging::ended_early(failure, stop),
    };
    let materialized = if is_quick(step, &shared.request) {
        Some(materialize(index, attempt, &environment, shared))
    } else {
        // Copying may take long. A partial copy is discarded with the step's folder.
        let shared = shared.clone();
        unless_stopped(blocking(move || materialize(index, attempt, &environment, &shared)), stop).await
    };
    let Materialized { prepared, command, unchanged } = match materialized {
        Some(Ok(materialized)) => materialized,
        Some(Err(failure)) => return Finished::failed(failure),
        None => return Finished::new(StepOutcome::Skipped { reason: SkipReason::RunCanceled }),
    };
    let PreparedLaunch { launch, copies, environment } = prepared;
    let jobs = shared.request.jobs.max(1);
    let wanted = u32::try_from(step.slots.clamp(1, jobs)).unwrap_or(1);
    // Slots are granted in the order of the requests. A step that takes several slots waits for them, and so do all
    // steps behind it. Otherwise small steps could delay it forever.
    let place = match shared.slots.try_acquire_many(wanted) {
        Ok(place) if *stop.borrow() == Stop::None => Some(place),
        Ok(_) => None,
        Err(_) => {
            shared.services.bus.publish(EventKind::StepQueued { step: step.path.clone() });
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop != Stop::None) => None,
                place = shared.slots.acquire_many(wanted) => place.ok(),
            }
        }
    };
    let Some(place) = place else {
        return Finished::new(StepOutcome::Skipped { reason: SkipReason::RunCanceled });
    };
    let recorded = |process: &RankProcess| shared.request.paths.to_real(&process.log);
    let log = launch.processes.first().map(recorded).unwrap_or_default();
    let logs = launch.processes.iter();
    let logs = logs.filter_map(|process| Some(ProcessLog { process: process.label.clone()?, log: recorded(process) }));
    let name = environment.name.clone();
    let logs = logs.collect();
    let start = Arc::new(StepStart { index, command, log, logs, environment: name, shared: shared.clone() });
    let started = Timestamp::now();
    let Ended { ending, process, warnings } = environment.executor.run(launch, observer(&start), stop.clone()).await;
    drop(environment);
    if matches!(ending, Ending::NotStarted(_)) {
        // The command and the time of the attempt belong into the record of its failure.
        start.record(None);
    }
    for message in warnings {
        warn(&shared.services, &shared.request, index, message);
    }
    drop(place);
    let ran = Ran { index, attempt, started, unchanged };
    let outcome = outcome(ending, process);
    if is_quick(step, &shared.request) {
        return finish(ran, copies, outcome, shared, stop);
    }
    let (shared, watch) = (shared.clone(), stop.clone());
    let finish = blocking(move || Ok(finish(ran, copies, outcome, &shared, &watch)));
    tokio::select! {
        finished = finish => finished.unwrap_or_else(Finished::failed),
        // The step completed and its outputs are kept, but after a forced stop nobody waits until they are
        // registered.
        Ok(_) = stop.wait_for(|stop| *stop == Stop::Forced) => Finished::new(StepOutcome::Canceled),
    }
}

/// Makes the environment of a step ready.
async fn provide(index: usize, shared: &Arc<RunState>, stop: &StopWatch) -> Result<StepEnvironment, Failure> {
    let RunState { request, services, .. } = &**shared;
    let step = request.step(index);
    let command = step.command().ok_or_else(|| Failure::internal("a step has no command"))?;
    let environment = services.environments.provide(&step.path, command, stop.clone()).await?;
    if let Some(reuse) = request.reuse.as_ref().filter(|_| environment.name.is_some()) {
        // Its programs are looked at before the step starts. When the run began, the environment may not have been there.
        let _ = cache::machine(step, &request.snapshot, reuse);
    }
    Ok(environment)
}

/// Whether the environment of a step must be built before its cache key is known.
fn is_unbuilt(index: usize, shared: &RunState) -> bool {
    let RunState { request, scope, .. } = shared;
    let Some(reuse) = &request.reuse else { return false };
    let lookup = CacheLookup::new(&request.plan, &request.snapshot, reuse, &request.force, scope);
    lookup.unbuilt(request.step(index)).is_some()
}

/// The start of a step, as it is recorded.
struct StepStart {
    index: usize,
    command: String,
    log: PathBuf,
    logs: Vec<ProcessLog>,
    environment: Option<String>,
    shared: Arc<RunState>,
}

impl StepStart {
    fn record(&self, handle: Option<Handle>) {
        let step = self.step().to_owned();
        let (command, log, logs) = (self.command.clone(), self.log.clone(), self.logs.clone());
        let environment = self.environment.clone();
        self.shared.services.bus.publish(EventKind::StepStarted { step, command, log, logs, environment, handle });
    }

    fn step(&self) -> &str {
        &self.shared.request.step(self.index).path
    }
}

/// Records the start of a step and passes on what it prints.
fn observer(start: &Arc<StepStart>) -> Observer {
    let for_lines = start.clone();
    let lines = move |shown| {
        let bus = &for_lines.shared.services.bus;
        match shown {
            Shown::Line(line) => bus.line(for_lines.step(), &line),
            Shown::Progress(state) => bus.progress(for_lines.step(), &state),
        }
    };
    let start = start.clone();
    Observer { started: Arc::new(move |handle| start.record(Some(handle))), lines: Arc::new(lines) }
}

/// An attempt of a step whose process has ended.
#[derive(Clone, Copy)]
struct Ran {
    index: usize,
    attempt: u32,
    started: Timestamp,
    /// Whether the step got what was seen before the run.
    unchanged: bool,
}

/// The result of `work`, unless the run is asked to stop before.
async fn unless_stopped<T>(work: impl Future<Output = T>, stop: &mut StopWatch) -> Option<T> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop != Stop::None) => None,
        done = work => Some(done),
    }
}

/// How many bytes can be copied in the time that a switch to another thread and back takes.
const FEW_BYTES: u64 = 64 << 10;

/// Whether preparing a step and collecting its outputs handles only a few files. Then it is done at once, because
/// switching to another thread and back would take longer.
fn is_quick(step: &crate::plan::Step, request: &Request) -> bool {
    let file = |output: &crate::plan::StepOutput| {
        output.kind == PortType::UriFile && output.asset.is_none() && output.place.is_none()
    };
    let plain = |input: &crate::plan::StepInput| {
        input.mode != InputMode::Download
            && (!input.kind.is_data() || input.kind == PortType::UriFile)
            && protect::source(input, request).is_none_or(|file| file.bytes <= FEW_BYTES)
    };
    let is_small = |command: &Command| command.code.is_none() && command.distribution.is_none();
    step.command().is_none_or(is_small) && step.outputs.iter().all(file) && step.inputs.iter().all(plain)
}

/// Decides a step that reads outputs of other steps of this run.
async fn decide_late(index: usize, shared: &Arc<RunState>) -> Result<Decision, Failure> {
    let look = || {
        let shared = shared.clone();
        blocking(move || Ok(look_up(index, &shared)))
    };
    let steps = match look().await? {
        Late::Decided(decision) => return Ok(decision),
        Late::Pending(steps) => steps,
    };
    // An earlier result may match, so it is worth waiting for the digests of the outputs that the step reads.
    for step in steps {
        if shared.output_table.outputs(step).is_some() && !shared.output_table.wait(step).await {
            return Ok(Decision::run("its inputs could not be read for comparison"));
        }
    }
    Ok(match look().await? {
        Late::Decided(decision) => decision,
        Late::Pending(_) => Decision::run("an optional input of it is missing"),
    })
}

/// The decision for a step when its turn comes.
enum Late {
    Decided(Decision),
    /// The digests of these steps' outputs are missing.
    Pending(Vec<usize>),
}

fn look_up(index: usize, shared: &RunState) -> Late {
    let RunState { request, output_table, scope, .. } = shared;
    let run = |because| Late::Decided(Decision { cache: CacheDecision::Miss, because });
    let Some(reuse) = &request.reuse else { return run(Vec::new()) };
    let lookup = CacheLookup::new(&request.plan, &request.snapshot, reuse, &request.force, scope);
    let known = |step: usize, name: &str| output_table.kept(step, name).map(|kept| kept.digest.clone());
    let step = request.step(index);
    match lookup.key(step, &known) {
        // The step would read something else by now, so the result does not match.
        KeyState::Complete(_) if has_changed(index, shared) => {
            run(vec![Reason::sentence("its code, an input or a program of it changed since the run began")])
        }
        KeyState::Complete(key) => Late::Decided(lookup.ask(step, &key)),
        KeyState::Unbuilt(sentence) => run(vec![Reason::sentence(sentence)]),
        KeyState::Miss(because) => run(because),
        KeyState::Pending(steps) => Late::Pending(steps),
    }
}

/// Whether local data, code or programs of a step changed since the run began.
fn has_changed(index: usize, shared: &RunState) -> bool {
    let RunState { request, .. } = shared;
    let step = request.step(index);
    let host = request.snapshot.host.as_ref();
    let machine = host.is_some_and(|host| !host.is_same());
    machine
        || unchanged::code(step, request)
        || local_paths(step).into_iter().any(|path| unchanged::local(path, request))
}

/// Makes the outputs of a step from the samples in `amlrun.toml`.
fn stub(index: usize, attempt: u32, shared: &RunState, stop: &StopWatch) -> Finished {
    let request = &shared.request;
    let step = request.step(index);
    let Some(Substitute::Stub { outputs }) = &step.substitute else {
        return Finished::failed(Failure::internal("a step has no samples"));
    };
    for output in &step.outputs {
        let place = request.output(index, &output.name, attempt);
        let sample = outputs.get(&output.name).map(|sample| tree::copy_tree(sample, &place));
        if let Some(Err(why)) = sample {
            let message = format!("the sample for its output '{}' cannot be used: {why}", output.name);
            return Finished::failed(Failure::other(message));
        }
    }
    let unchanged = !outputs.values().any(|sample| unchanged::local(sample, request));
    made(index, attempt, unchanged, shared, stop)
}

/// Collects the outputs that amlrun itself made for a step.
fn made(index: usize, attempt: u32, unchanged: bool, shared: &RunState, stop: &StopWatch) -> Finished {
    let RunState { request, services, .. } = shared;
    match collect::collect(index, attempt, request, services, stop, &|_| {}) {
        Ok(Collected { unsent: Some(failure), outputs }) => {
            Finished { outputs, ..Finished::new(StepOutcome::Failed { failure }) }
        }
        Ok(Collected { outputs, .. }) => {
            let now = Timestamp::now();
            let completed = CompletedStep {
                index,
                outputs: outputs.clone(),
                job: request.step_job(index),
                metrics: Vec::new(),
                started: now,
                finished: now,
                offered: unchanged,
                key: unchanged,
            };
            Finished { completed: Some(completed), outputs, ..Finished::new(StepOutcome::Completed) }
        }
        Err(failure) => Finished::new(StepOutcome::Failed { failure }),
    }
}

/// Collects the outputs of a step that completed and closes its MLflow run.
fn finish(
    mut ran: Ran,
    mut copies: Vec<OwnCopy>,
    outcome: StepOutcome,
    shared: &RunState,
    stop: &StopWatch,
) -> Finished {
    let RunState { request, services, .. } = shared;
    let (index, mut made) = (ran.index, false);
    let mut finished = match outcome {
        StepOutcome::Completed => match complete(&mut ran, &copies, shared, stop) {
            Ok(Collected { outputs, unsent }) => {
                for copy in &mut copies {
                    outputs.iter().for_each(|output| copy.keep_if_linked(&output.path));
                }
                made = true;
                let outcome = match unsent {
                    None => StepOutcome::Completed,
                    Some(_) if *stop.borrow() != Stop::None => StepOutcome::Canceled,
                    Some(failure) => StepOutcome::Failed { failure },
                };
                Finished { outputs, ..Finished::new(outcome) }
            }
            Err(failure) => Finished::new(StepOutcome::Failed { failure }),
        },
        outcome => Finished::new(outcome),
    };
    let step = request.step(index).path.as_str();
    let tracked = services.workspace.end_step(step, &request.step_job(index), finished.outcome.status());
    let Tracked { metrics, models } = tracked.unwrap_or_else(|error| {
        warn(services, request, index, error.to_string());
        Tracked::default()
    });
    if !metrics.is_empty() || !models.is_empty() {
        services.bus.publish(EventKind::StepTracked { step: step.to_owned(), metrics: metrics.clone(), models });
    }
    finished.metrics.clone_from(&metrics);
    if finished.outcome == StepOutcome::Completed {
        parallel::forget(index, request);
    }
    // Also if the upload failed: then another attempt does not have to make the outputs again.
    if made {
        finished.completed = Some(completed(ran, &finished.outputs, metrics, shared));
    }
    finished
}

/// What the recorder needs of a step that completed.
fn completed(ran: Ran, outputs: &[OutputInfo], metrics: Vec<(String, f64)>, shared: &RunState) -> CompletedStep {
    let RunState { request, output_table, .. } = shared;
    let Ran { index, started, unchanged, .. } = ran;
    let step = request.step(index);
    let offered = unchanged
        && step.is_deterministic
        && !request.plan.force_rerun
        && step.needs.iter().all(|&need| output_table.outputs(need).is_some());
    CompletedStep {
        index,
        outputs: outputs.to_vec(),
        job: request.step_job(index),
        metrics,
        started,
        finished: Timestamp::now(),
        offered,
        key: unchanged,
    }
}

/// Collects the outputs of a step whose process ended with 0, unless it changed its inputs.
fn complete(ran: &mut Ran, copies: &[OwnCopy], shared: &RunState, stop: &StopWatch) -> Result<Collected, Failure> {
    let RunState { request, services, output_table, .. } = shared;
    if let Some(changed) = unchanged::in_place(ran.index, request, output_table, copies) {
        if changed.sealed {
            return Err(Failure::InputModified { input: changed.input, file: changed.file });
        }
        ran.unchanged = false;
        let words = changed.in_words("while it ran");
        warn(services, request, ran.index, format!("{words}; on Azure ML a step that writes to an input fails"));
    }
    if let Some((copy, file)) = copies.iter().find_map(|copy| Some((copy, copy.written()?))) {
        ran.unchanged = false;
        let file = if file.is_empty() { String::new() } else { format!(" ({file})") };
        let what = format!("it wrote to its input '{}'{file}", copy.input);
        let rest = "your data is unchanged, because the step gets a copy; the result is not stored for reuse, and on Azure ML, \
                    where the input is read-only, the step fails";
        warn(services, request, ran.index, format!("{what}: {rest}"));
    }
    let ran = *ran;
    let made = |outputs: &[OutputInfo]| {
        let pending_uploads = shared.pending_uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending_uploads) = &*pending_uploads {
            let _ = pending_uploads.send(completed(ran, outputs, Vec::new(), shared));
        }
    };
    collect::collect(ran.index, ran.attempt, request, services, stop, &made)
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
        Ending::NotStarted(message) => Failure::Other { message },
    };
    let failure = match process {
        Some(process) => Failure::Process { process, failure: Box::new(failure) },
        None => failure,
    };
    StepOutcome::Failed { failure }
}
