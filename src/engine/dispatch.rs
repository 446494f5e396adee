//! The loop that owns the truth of a run: it starts what may start, hears how steps end, and says everything once.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::schedule::{Schedule, Skip};
use super::step::{self, Finished};
use super::{Request, Surroundings, Workspace};
use crate::event::{OutputInfo, StepInfo, What};
use crate::exec::{Executor, Stop, StopWatch};
use crate::outcome::{Failure, JobStatus, SkipReason, StepOutcome};

/// Runs a plan to its end and returns how it ended. `asked` tells when somebody wants it to stop.
pub async fn run<E: Executor, W: Workspace>(
    request: Request,
    around: Surroundings<E, W>,
    asked: StopWatch,
) -> JobStatus {
    around.bus.say(started(&request));
    for message in &request.warnings {
        around.bus.say(What::Warning { step: None, message: message.clone() });
    }
    let needs: Vec<Vec<usize>> = request.plan.steps.iter().map(|s| s.needs.clone()).collect();
    let (halt, stop) = watch::channel(Stop::No);
    let mut run = Dispatch {
        schedule: Schedule::new(&needs, request.plan.continue_on_step_failure),
        request: Arc::new(request),
        around: Arc::new(around),
        running: JoinSet::new(),
        halt,
        stop,
        status: JobStatus::Completed,
        outputs: Vec::new(),
    };
    run.drive(asked).await;
    let outputs = run.job_outputs();
    run.around.bus.say(What::RunFinished { status: run.status, outputs });
    run.status
}

fn started(request: &Request) -> What {
    let plan = &request.plan;
    let name = |index: &usize| plan.steps[*index].path.clone();
    let steps = plan.steps.iter().enumerate().map(|(index, step)| StepInfo {
        path: step.path.clone(),
        display_name: step.display_name.clone(),
        job: request.step_job(index),
        needs: step.needs.iter().map(name).collect(),
    });
    What::RunStarted {
        run: request.run.name.to_string(),
        kind: plan.kind.to_owned(),
        display_name: plan.display_name.clone(),
        description: plan.description.clone(),
        experiment: request.experiment.clone(),
        tags: plan.tags.clone(),
        job_file: request.job_file.clone(),
        pid: std::process::id(),
        amlrun: env!("CARGO_PKG_VERSION").to_owned(),
        steps: steps.collect(),
    }
}

struct Dispatch<E, W> {
    request: Arc<Request>,
    around: Arc<Surroundings<E, W>>,
    schedule: Schedule,
    running: JoinSet<(usize, Finished)>,
    /// Tells the running steps to stop.
    halt: watch::Sender<Stop>,
    stop: StopWatch,
    status: JobStatus,
    /// What completed steps wrote, by step.
    outputs: Vec<(usize, Vec<OutputInfo>)>,
}

impl<E: Executor, W: Workspace> Dispatch<E, W> {
    async fn drive(&mut self, mut asked: StopWatch) {
        let mut listening = true;
        // Somebody may have asked before there was anything to stop.
        self.cancel(*asked.borrow_and_update());
        loop {
            while self.running.len() < self.request.jobs.max(1)
                && let Some(index) = self.schedule.next()
            {
                self.start(index);
            }
            if self.running.is_empty() {
                break;
            }
            tokio::select! {
                // A request to stop goes before a step that ended at the same moment: nothing new may start then.
                biased;
                changed = asked.changed(), if listening => match changed {
                    Ok(()) => self.cancel(*asked.borrow_and_update()),
                    Err(_) => listening = false,
                },
                Some(ended) = self.running.join_next() => match ended {
                    Ok((index, finished)) => self.ended(index, finished),
                    Err(broken) => self.broken(&broken.to_string()),
                },
            }
        }
        debug_assert!(self.schedule.is_done(), "the loop ends when every step is over");
    }

    fn start(&mut self, index: usize) {
        let (request, around, stop) = (self.request.clone(), self.around.clone(), self.stop.clone());
        self.running.spawn(async move { (index, step::run(index, request, around, stop).await) });
    }

    fn cancel(&mut self, how: Stop) {
        if how == Stop::No {
            return;
        }
        self.status = JobStatus::Canceled;
        self.halt.send_replace(how);
        let skipped = self.schedule.stop();
        self.skip(skipped);
    }

    fn ended(&mut self, index: usize, finished: Finished) {
        let completed = finished.outcome == StepOutcome::Completed;
        self.around.bus.say(What::StepFinished {
            step: self.request.plan.steps[index].path.clone(),
            outcome: finished.outcome,
            outputs: finished.outputs.clone(),
        });
        if completed {
            self.outputs.push((index, finished.outputs));
            self.schedule.completed(index);
            return;
        }
        let skipped = self.schedule.failed(index);
        if self.status == JobStatus::Completed {
            self.status = JobStatus::Failed;
        }
        if !self.request.plan.continue_on_step_failure {
            self.halt.send_if_modified(|stop| {
                let gently = *stop == Stop::No;
                *stop = (*stop).max(Stop::Gently);
                gently
            });
        }
        self.skip(skipped);
    }

    /// A step's task broke, which is a mistake of ours. The run still ends in order: everything else is stopped.
    fn broken(&mut self, why: &str) {
        let message = format!("amlrun made a mistake while running a step; please report it: {why}");
        self.around.bus.say(What::Warning { step: None, message });
        self.status = JobStatus::Failed;
        self.halt.send_replace(Stop::Gently);
        let skipped = self.schedule.stop();
        self.skip(skipped);
    }

    fn skip(&self, skipped: Vec<(usize, Skip)>) {
        let name = |index: usize| self.request.plan.steps[index].path.clone();
        for (index, why) in skipped {
            let reason = match why {
                Skip::Needs(step) => SkipReason::DependencyFailed { step: name(step) },
                Skip::AfterFailure(step) => SkipReason::RunFailed { step: name(step) },
                Skip::Canceled => SkipReason::RunCanceled,
            };
            let outcome = StepOutcome::Skipped { reason };
            self.around.bus.say(What::StepFinished { step: name(index), outcome, outputs: Vec::new() });
        }
    }

    fn job_outputs(&self) -> Vec<OutputInfo> {
        let plan = &self.request.plan;
        let of_step = |step: usize| self.outputs.iter().find(|(s, _)| *s == step).map(|(_, o)| o);
        plan.outputs
            .iter()
            .filter_map(|output| {
                let found = of_step(output.step)?.iter().find(|o| o.name == output.output)?;
                Some(OutputInfo { name: output.name.clone(), ..found.clone() })
            })
            .collect()
    }
}

impl From<String> for Finished {
    /// A step that failed because our surroundings broke.
    fn from(message: String) -> Self {
        let outcome = StepOutcome::Failed { failure: Failure::Surroundings { message } };
        Self { outcome, outputs: Vec::new() }
    }
}
