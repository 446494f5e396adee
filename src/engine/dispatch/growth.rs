//! Adds steps to a run that goes on, and tells their parents how they end.

use std::ops::Range;

use super::Dispatch;
use crate::engine::added::AddedStep;
use crate::engine::cache::{Decision, forced};
use crate::engine::child_request::{ChildEnd, ChildRequest, NewSteps};
use crate::engine::schedule::Node;
use crate::engine::state::CompletedStep;
use crate::engine::{Request, ResumedChild};
use crate::event::{EventKind, StepInfo};
use crate::exec::Stop;
use crate::outcome::{JobStatus, SkipReason, StepOutcome};
use crate::plan::{Phase, Step};

impl Dispatch {
    /// Answers a request of a step that runs others.
    pub(super) fn serve(&mut self, request: ChildRequest) {
        match request {
            ChildRequest::Add(mut new) => {
                let (answer, _) = tokio::sync::oneshot::channel();
                let answer = std::mem::replace(&mut new.added, answer);
                let _ = answer.send(self.add(new));
            }
            ChildRequest::Stop { step, how, why } => self.stop_child(step, how, why),
        }
    }

    /// Adds steps. Those that completed under an earlier runner keep their results.
    fn add(&mut self, new: NewSteps) -> Option<Range<usize>> {
        let shared = self.shared.clone();
        let request = &shared.request;
        let parent = new.parent;
        if self.status == JobStatus::Canceled || !self.stops.contains_key(&parent) {
            return None;
        }
        self.parents.insert(parent, new.ends.clone());
        let first = request.count();
        let steps = (new.make)(first);
        let is_last = self.is_last(parent);
        let nodes = steps.iter().map(|step| Node {
            needs: step.needs.clone(),
            optional: step.optional_needs.clone(),
            last: is_last,
        });
        let nodes: Vec<Node> = nodes.collect();
        let (mut infos, mut done) = (Vec::new(), Vec::new());
        let children = request.resumed.as_ref().map(|resumed| &resumed.children);
        for (index, step) in (first..).zip(steps) {
            let job = new.job.clone().unwrap_or_else(|| request.paths.real.name.step_job(&step.path));
            let earlier = children.and_then(|children| children.get(&step.path));
            if earlier.is_none() {
                infos.push((index, job.clone()));
            }
            done.extend(earlier.filter(|earlier| earlier.is_over()).map(|earlier| (index, earlier.clone())));
            let taken = new.taken.iter().filter(|(at, _)| first + at == index).map(|(_, name)| name.clone()).collect();
            let decision = decision(&step, parent, request);
            let attempts = earlier.map_or(0, |earlier| earlier.attempts);
            shared.output_table.add();
            request.added.push(AddedStep {
                step,
                job,
                parent,
                decision,
                attempts,
                parameters: new.parameters.clone(),
                taken,
            });
        }
        if !infos.is_empty() {
            let infos = infos.into_iter().map(|(index, job)| info(index, job, parent, request));
            let step = request.step(parent).path.clone();
            shared.services.bus.publish(EventKind::StepsAdded { step, steps: infos.collect() });
        }
        let count = nodes.len();
        self.schedule.add(parent, nodes);
        for (index, earlier) in done {
            self.keep(index, earlier);
        }
        Some(first..first + count)
    }

    /// Keeps the result that an added step has from an earlier runner.
    fn keep(&mut self, index: usize, earlier: ResumedChild) {
        let Some(outputs) = earlier.done else {
            let skipped = self.schedule.left_out(index);
            self.skip(skipped);
            return self.tell_parent(index, StepOutcome::Canceled, earlier.metrics, earlier.reused_from);
        };
        self.shared.output_table.sealed(index, outputs.clone());
        self.recorder.record(CompletedStep::outputs_only(index, outputs));
        self.schedule.completed(index);
        self.tell_parent(index, StepOutcome::Completed, earlier.metrics, earlier.reused_from);
    }

    fn stop_child(&mut self, index: usize, how: Stop, why: Option<String>) {
        let step = &self.shared.request.step(index).path;
        let is_waiting = self.schedule.is_waiting(index);
        if !is_waiting && !self.stops.contains_key(&index) {
            return;
        }
        if let Some(why) = why {
            self.shared.services.bus.publish(EventKind::StepStopped { step: step.clone(), why });
        }
        if let Some(stop) = self.stops.get(&index) {
            stop.send_if_modified(|now| std::mem::replace(now, how.max(*now)) < how);
        } else if is_waiting {
            self.say_skipped(index, SkipReason::StepCanceled);
            let skipped = self.schedule.left_out(index);
            self.skip(skipped);
        }
    }

    /// Skips the steps of the branch that a step decided against.
    pub(super) fn leave_out(&mut self, decided_by: usize, steps: Vec<usize>) {
        for index in steps {
            if self.schedule.is_waiting(index) {
                let step = self.shared.request.step(decided_by).path.clone();
                self.say_skipped(index, SkipReason::BranchNotTaken { step });
                let skipped = self.schedule.left_out(index);
                self.skip(skipped);
            }
        }
    }

    /// Tells the parent of an added step how the step ended.
    pub(super) fn tell_parent(
        &self,
        step: usize,
        outcome: StepOutcome,
        metrics: Vec<(String, f64)>,
        reused_from: Option<String>,
    ) {
        let parent = self.shared.request.parent(step).and_then(|parent| self.parents.get(&parent));
        if let Some(parent) = parent {
            let _ = parent.send(ChildEnd { step, outcome, metrics, reused_from });
        }
    }

    /// Whether a step runs after all others.
    pub(super) fn is_last(&self, index: usize) -> bool {
        let request = &self.shared.request;
        match request.parent(index) {
            Some(parent) => self.is_last(parent),
            None => request.step(index).phase == Phase::Finalize,
        }
    }
}

/// Whether an added step runs: an earlier result is looked up when its turn comes, unless it is to run in any case.
fn decision(step: &Step, parent: usize, request: &Request) -> Decision {
    match forced(step, parent, &request.plan, &request.force) {
        Some(because) => Decision::miss(because),
        None => Decision::pending(),
    }
}

fn info(index: usize, job: String, parent: usize, request: &Request) -> StepInfo {
    let step = request.step(index);
    StepInfo {
        path: step.path.clone(),
        display_name: step.display_name.clone(),
        job,
        kind: step.body.kind().to_owned(),
        substitute: None,
        samples: Vec::new(),
        needs: step.needs.iter().map(|&need| request.step(need).path.clone()).collect(),
        parent: Some(request.step(parent).path.clone()),
        parameters: request.parameters(index).to_vec(),
    }
}
