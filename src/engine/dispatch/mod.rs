//! The dispatch loop, which owns the state of a run: it starts steps, handles their ends, and reports every event
//! once.

mod growth;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::cache::{self, CacheDecision, CachedResult, Recorder, info};
use super::child_request::{ChildEnd, ChildRequest};
use super::outputs::OutputTable;
use super::schedule::{Node, Schedule, Skip};
use super::state::{CompletedStep, Finished, RunState, warn};
use super::{Request, Services, collect, staging, step};
use crate::event::{EventKind, OutputInfo, StepInfo};
use crate::exec::{Stop, StopWatch};
use crate::outcome::{Failure, JobStatus, SkipReason, StepOutcome};
use crate::plan::{Phase, Plan, Step, StepOutput, Substitute};
use crate::reason::Reason;
use crate::reuse::Listing;

/// Runs a plan to its end and returns its status. `asked` signals a request to stop.
pub async fn run(request: Request, services: Services, asked: StopWatch) -> JobStatus {
    services.bus.publish(started(&request));
    for message in &request.plan.notes {
        services.bus.publish(EventKind::Note { message: message.clone() });
    }
    for message in &request.warnings {
        services.bus.publish(EventKind::Warning { step: None, message: message.clone() });
    }
    let nodes = request.plan.steps.iter().map(|step| Node {
        needs: step.needs.clone(),
        optional: step.optional_needs.clone(),
        last: step.phase == Phase::Finalize,
    });
    let schedule = Schedule::new(nodes.collect(), request.plan.continue_on_step_failure);
    let scope = cache::scope(&request.job_file, request.paths.workspace());
    let output_table = OutputTable::new(request.plan.steps.len());
    let slots = Arc::new(tokio::sync::Semaphore::new(request.jobs.max(1)));
    let (children, requests) = mpsc::unbounded_channel();
    let pending_uploads = Mutex::default();
    let shared = Arc::new(RunState { request, services, output_table, scope, slots, children, pending_uploads });
    let mut run = Dispatch {
        schedule,
        recorder: Recorder::start(shared.clone()),
        shared,
        running: JoinSet::new(),
        tasks: HashMap::new(),
        leaves: 0,
        stops: HashMap::new(),
        requests,
        parents: HashMap::new(),
        asked: asked.clone(),
        halted: Stop::None,
        status: JobStatus::Completed,
    };
    if run.shared.request.resumed.as_ref().is_some_and(|resumed| resumed.incomplete) {
        run.status = JobStatus::Failed;
    }
    run.settle();
    let (mut asked_to_stop, mut hurry) = (asked.clone(), asked.clone());
    run.drive(asked).await;
    let outputs = run.job_outputs();
    run.shared.services.bus.publish(EventKind::RunFinished { status: run.status, outputs });
    *run.shared.pending_uploads.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let (status, recorder, grace) = (run.status, run.recorder, run.shared.request.grace);
    // A user who does not wait for the digests loses the reuse of these results, and nothing else.
    let grace_is_over = async {
        // The value that is awaited holds the channel's lock, so it must be dropped before the next await.
        let asked = asked_to_stop.wait_for(|stop| *stop != Stop::None).await.is_ok();
        if asked { tokio::time::sleep(grace).await } else { std::future::pending().await }
    };
    tokio::select! {
        _ = tokio::task::spawn_blocking(move || recorder.finish()) => {}
        Ok(_) = hurry.wait_for(|stop| *stop == Stop::Forced) => {}
        () = grace_is_over => {}
    }
    status
}

/// A step of a plan, in the form of the record.
#[must_use]
pub fn step_info(plan: &Plan, step: &Step, job: String) -> StepInfo {
    StepInfo {
        path: step.path.clone(),
        display_name: step.display_name.clone(),
        job,
        kind: step.body.kind().to_owned(),
        substitute: step.substitute.as_ref().map(|substitute| substitute.policy().to_owned()),
        samples: match &step.substitute {
            Some(Substitute::Stub { outputs }) => outputs.values().cloned().collect(),
            _ => Vec::new(),
        },
        needs: step.needs.iter().map(|need| plan.steps[*need].path.clone()).collect(),
        parent: None,
        parameters: Vec::new(),
    }
}

fn started(request: &Request) -> EventKind {
    let plan = &request.plan;
    let amlrun = env!("CARGO_PKG_VERSION").to_owned();
    if let Some(resumed) = &request.resumed {
        let steps = resumed.open.iter().map(|&index| plan.steps[index].path.clone());
        let added = resumed.children.iter().filter(|(_, child)| !child.is_over()).map(|(path, _)| path.clone());
        let steps = steps.chain(added).collect();
        return EventKind::RunResumed { pid: std::process::id(), amlrun, grace: request.grace.as_secs(), steps };
    }
    let steps = plan.steps.iter().enumerate();
    let steps = steps.map(|(index, step)| step_info(plan, step, request.step_job(index)));
    EventKind::RunStarted {
        run: request.paths.real.name.to_string(),
        kind: plan.kind.clone(),
        display_name: plan.display_name.clone(),
        description: plan.description.clone(),
        experiment: request.experiment.clone(),
        tags: plan.tags.clone(),
        job_file: request.job_file.clone(),
        pid: std::process::id(),
        amlrun,
        grace: request.grace.as_secs(),
        environments: request.environments.clone(),
        locked: request.locked.clone(),
        steps: steps.collect(),
    }
}

/// How many steps are prepared before a slot is free for them.
const AHEAD: usize = 4;

struct Dispatch {
    shared: Arc<RunState>,
    schedule: Schedule,
    recorder: Recorder,
    running: JoinSet<Finished>,
    /// The step of each task.
    tasks: HashMap<Id, usize>,
    /// How many running steps take slots: those that run others do not.
    leaves: usize,
    /// Tells each running step to stop.
    stops: HashMap<usize, watch::Sender<Stop>>,
    /// The requests of steps that run others.
    requests: mpsc::UnboundedReceiver<ChildRequest>,
    /// Tells each of these steps how the steps ended that it added.
    parents: HashMap<usize, mpsc::UnboundedSender<ChildEnd>>,
    /// Whether the run was asked to stop.
    asked: StopWatch,
    /// Whether steps that begin now stop at once. Steps of `on_finalize` are not stopped by an earlier failure.
    halted: Stop,
    status: JobStatus,
}

impl Dispatch {
    /// Handles all steps that need no process: steps that completed before the run was resumed, cache hits, and
    /// skipped steps.
    fn settle(&mut self) {
        let shared = self.shared.clone();
        let done = shared.request.resumed.as_ref().map(|resumed| &resumed.done);
        // There can be thousands of reused steps, so they are recorded together.
        let mut reused = Vec::new();
        for index in 0..shared.request.plan.steps.len() {
            if let Some(outputs) = done.and_then(|done| done.get(&index)) {
                shared.output_table.sealed(index, outputs.clone());
                self.recorder.record(CompletedStep::outputs_only(index, outputs.clone()));
                self.schedule.completed(index);
                continue;
            }
            let decision = &shared.request.decision(index);
            match &decision.cache {
                // An upload to remote storage takes time, so it is handled as a step.
                CacheDecision::Hit(cached) if !staging::places_remotely(shared.request.step(index)) => {
                    if shared.request.step(index).outputs.iter().any(StepOutput::is_published) {
                        shared.services.bus.publish_all(std::mem::take(&mut reused));
                    }
                    reused.push(self.apply_cached(index, cached, decision.because.clone()));
                    self.schedule.completed(index);
                }
                CacheDecision::Skipped if self.schedule.is_waiting(index) => {
                    shared.services.bus.publish_all(std::mem::take(&mut reused));
                    self.say_skipped(index, self.left_out(index).unwrap_or(SkipReason::NotChosen));
                    let skipped = self.schedule.left_out(index);
                    self.skip(skipped);
                }
                _ => {}
            }
        }
        shared.services.bus.publish_all(reused);
    }

    async fn drive(&mut self, mut asked: StopWatch) {
        let cancels = self.shared.request.cancels.clone();
        let mut listening = true;
        // The request to stop may have come before there was anything to stop.
        self.cancel(*asked.borrow_and_update());
        loop {
            self.start_what_may_start();
            if self.running.is_empty() {
                break;
            }
            tokio::select! {
                // A request to stop goes before a step that ended at the same moment, so that nothing new starts.
                biased;
                changed = asked.changed(), if listening => match changed {
                    Ok(()) => self.cancel(*asked.borrow_and_update()),
                    Err(_) => listening = false,
                },
                () = cancels.notified() => self.cancel_steps(),
                Some(request) = self.requests.recv() => self.serve(request),
                Some(ended) = self.running.join_next_with_id() => match ended {
                    Ok((task, finished)) => self.over(task, finished),
                    Err(broken) => self.broken(&broken),
                },
            }
        }
        debug_assert!(self.schedule.is_done(), "the loop ends when every step is over");
    }

    /// Spawns a task for each step that can start. A step waits for its slot only after it is prepared. Some more
    /// steps are prepared than there are slots, so that no slot is idle. If a failure ends the run, nothing is
    /// prepared ahead.
    fn start_what_may_start(&mut self) {
        let slots = self.shared.request.jobs.max(1);
        let ahead = if self.shared.request.plan.continue_on_step_failure { slots.min(AHEAD) } else { 0 };
        while let Some(index) = self.schedule.peek() {
            let is_leaf = !self.shared.request.step(index).body.runs_others();
            if is_leaf && self.leaves >= slots + ahead {
                break;
            }
            self.schedule.next();
            self.leaves += usize::from(is_leaf);
            let (halt, stop) = watch::channel(if self.is_last(index) { *self.asked.borrow() } else { self.halted });
            self.stops.insert(index, halt);
            let shared = self.shared.clone();
            let task = self.running.spawn(async move { step::run(index, shared, stop).await });
            self.tasks.insert(task.id(), index);
        }
    }

    fn cancel(&mut self, how: Stop) {
        if how == Stop::None {
            return;
        }
        self.status = JobStatus::Canceled;
        self.halt(how, true);
        let skipped = self.schedule.stop();
        self.skip(skipped);
    }

    /// Tells the running steps to stop; with `all`, also those of `on_finalize`.
    fn halt(&mut self, how: Stop, all: bool) {
        self.halted = self.halted.max(how);
        for (&index, stop) in &self.stops {
            if all || !self.is_last(index) {
                stop.send_if_modified(|now| std::mem::replace(now, how.max(*now)) < how);
            }
        }
    }

    /// Cancels single steps, as requested in the run's folder. A running step is stopped gracefully, and at once when
    /// it is canceled again. A waiting step is skipped.
    fn cancel_steps(&mut self) {
        let shared = self.shared.clone();
        let request = &shared.request;
        for index in 0..request.count() {
            if !request.paths.real.take_cancel(&request.step_job(index)) {
                continue;
            }
            if let Some(stop) = self.stops.get(&index) {
                stop.send_modify(|now| *now = if *now == Stop::None { Stop::Graceful } else { Stop::Forced });
            } else if self.schedule.is_waiting(index) {
                self.say_skipped(index, SkipReason::StepCanceled);
                let skipped = self.schedule.left_out(index);
                if request.parent(index).is_none() {
                    self.fail();
                }
                self.skip(skipped);
            }
        }
    }

    fn fail(&mut self) {
        if self.status == JobStatus::Completed {
            self.status = JobStatus::Failed;
        }
    }

    /// The task of a step ended.
    fn over(&mut self, task: Id, finished: Finished) {
        let Some(index) = self.tasks.remove(&task) else { return };
        if !self.shared.request.step(index).body.runs_others() {
            self.leaves -= 1;
        }
        self.parents.remove(&index);
        self.ended(index, finished);
    }

    fn ended(&mut self, index: usize, finished: Finished) {
        self.stops.remove(&index);
        let parent = self.shared.request.parent(index);
        let completed = finished.outcome == StepOutcome::Completed;
        let mut outcome = finished.outcome;
        if self.status != JobStatus::Canceled
            && matches!(outcome, StepOutcome::Skipped { reason: SkipReason::RunCanceled })
        {
            outcome = StepOutcome::Skipped { reason: SkipReason::StepCanceled };
        }
        let (metrics, reused_from) = match &finished.cached {
            Some(cached) => (cached.metrics.clone(), Some(cached.job.clone())),
            None => (finished.metrics, None),
        };
        if let Some(cached) = &finished.cached {
            let reused = self.apply_cached(index, cached, finished.because);
            self.shared.services.bus.publish(reused);
        } else {
            self.shared.services.bus.publish(EventKind::StepFinished {
                step: self.shared.request.step(index).path.clone(),
                outcome: outcome.clone(),
                outputs: finished.outputs.clone(),
            });
        }
        if completed {
            self.shared.output_table.sealed(index, finished.outputs);
        }
        if let Some(completed) = finished.completed {
            self.recorder.record(completed);
        }
        if completed {
            self.leave_out(index, finished.left_out);
            self.schedule.completed(index);
            self.tell_parent(index, StepOutcome::Completed, metrics, reused_from);
            return;
        }
        if parent.is_some() {
            // Its parent decides what its failure means.
            let skipped = self.schedule.left_out(index);
            self.skip(skipped);
            self.tell_parent(index, outcome, metrics, reused_from);
            return;
        }
        let skipped = self.schedule.failed(index);
        self.fail();
        if !self.shared.request.plan.continue_on_step_failure {
            self.halt(Stop::Graceful, false);
        }
        self.skip(skipped);
    }

    /// Reuses an earlier result for a step: its outputs are published and registered as if the step had run. Returns
    /// the event to record.
    fn apply_cached(&self, index: usize, cached: &CachedResult, because: Vec<Reason>) -> EventKind {
        let RunState { request, services, output_table, .. } = &*self.shared;
        let step = request.step(index);
        let mut outputs: Vec<OutputInfo> = cached.outputs.iter().map(info).collect();
        for output in &step.outputs {
            let Some(made) = outputs.iter_mut().find(|o| o.name == output.name) else { continue };
            // Remote destinations were handled before.
            let here = output.place.as_ref().is_some_and(|place| !place.is_remote());
            if here {
                match collect::upload(index, output, made, request, services, &self.asked) {
                    // Our own hard link changes the stat of a file. It must not look like a change by a step that
                    // reads the file.
                    Ok(()) => {
                        if let Ok(listing) = Listing::of(&made.path) {
                            made.fingerprint = listing.fingerprint().to_string();
                        }
                    }
                    Err(failure) => {
                        let message =
                            format!("its output '{}' cannot be copied to its destination: {failure}", output.name);
                        warn(services, request, index, message);
                    }
                }
            }
            if let Err(failure) = collect::register(index, output, made, request, services) {
                warn(services, request, index, failure.to_string());
            }
        }
        output_table.digested(index, Some(cached.outputs.clone()));
        output_table.sealed(index, outputs.clone());
        EventKind::StepReused {
            step: step.path.clone(),
            run: cached.run.clone(),
            job: cached.job.clone(),
            outputs,
            metrics: cached.metrics.clone(),
            because,
        }
    }

    /// A step's task panicked, which is a bug of ours. The run still ends in order: all other steps are stopped.
    fn broken(&mut self, why: &JoinError) {
        let message = format!("internal error while running a step; please report it: {why}");
        self.shared.services.bus.publish(EventKind::Warning { step: None, message });
        self.over(why.id(), Finished::failed(Failure::internal(why)));
        self.status = JobStatus::Failed;
        self.halt(Stop::Graceful, true);
        let skipped = self.schedule.stop();
        self.skip(skipped);
    }

    fn skip(&self, skipped: Vec<(usize, Skip)>) {
        let name = |index: usize| self.shared.request.step(index).path.clone();
        for (index, why) in skipped {
            let reason = self.left_out(index).unwrap_or_else(|| match why {
                Skip::Needs(step) => SkipReason::DependencyFailed { step: name(step) },
                Skip::AfterFailure(step) => SkipReason::RunFailed { step: name(step) },
                Skip::Canceled => SkipReason::RunCanceled,
            });
            self.say_skipped(index, reason);
        }
    }

    /// Why a step is skipped, whatever happens to the steps that it needs.
    fn left_out(&self, index: usize) -> Option<SkipReason> {
        let request = &self.shared.request;
        matches!(request.decision(index).cache, CacheDecision::Skipped).then(|| match request.step(index).substitute {
            Some(Substitute::Skip) => SkipReason::LeftOut,
            _ => SkipReason::NotChosen,
        })
    }

    /// Records that a step is skipped, and tells its parent. A step of the plan that keeps its state is not mentioned.
    fn say_skipped(&self, index: usize, reason: SkipReason) {
        let request = &self.shared.request;
        let keeps_state = request.resumed.as_ref().is_some_and(|resumed| !resumed.open.contains(&index));
        if keeps_state && request.parent(index).is_none() {
            return;
        }
        let step = request.step(index).path.clone();
        let outcome = StepOutcome::Skipped { reason };
        let what = EventKind::StepFinished { step, outcome: outcome.clone(), outputs: Vec::new() };
        self.shared.services.bus.publish(what);
        self.tell_parent(index, outcome, Vec::new(), None);
    }

    fn job_outputs(&self) -> Vec<OutputInfo> {
        let output_table = &self.shared.output_table;
        let outputs = self.shared.request.plan.outputs.iter();
        let named = outputs.filter_map(|output| {
            let found = output_table.output(output.step, &output.output)?;
            Some(OutputInfo { name: output.name.clone(), ..found.clone() })
        });
        named.collect()
    }
}
