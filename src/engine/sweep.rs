//! Runs a sweep: starts trials, ends poor ones early, and takes the outputs of the best one (reference, section 7.5).
//!
//! Which parameters a trial gets, which trial is the best, and when one is ended early, is the mathematics of
//! [`crate::sweep`]. This module turns it into steps and their ends.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::child_request::ChildEnd;
use super::children::Children;
use super::collect;
use super::services::StepRun;
use super::state::{CompletedStep, Finished, RunState, blocking, warn};
use crate::diagnostic::suggest;
use crate::digest::Digest;
use crate::event::{EventKind, OutputInfo};
use crate::exec::{Stop, StopWatch};
use crate::outcome::{Failure, StepOutcome};
use crate::plan::model::parameter;
use crate::plan::{StepBody, Sweep, Value};
use crate::sweep::{self, Algorithm, Assignment, better, propose, should_stop};

/// Runs the trials of a sweep to their ends.
pub(super) async fn run(index: usize, sweep: &Sweep, shared: &Arc<RunState>, stop: &StopWatch) -> Finished {
    let RunState { request, services, .. } = &**shared;
    let step = request.step(index);
    let job = request.step_job(index);
    let begun = services.workspace.begin_step(&StepRun::of(index, request));
    if let Err(message) = begun {
        warn(services, request, index, format!("this step runs without tracking: {message}"));
    }
    services.bus.publish(EventKind::ParentStarted { step: step.path.clone() });
    let mut search = Search::of(index, sweep, shared, stop);
    search.run().await;
    let (best, tried) = (search.best, search.trials);
    let mut finished = if *stop.borrow() == Stop::None {
        conclude(index, sweep, best.map(|best| &tried[best]), &tried, shared, stop).await
    } else {
        Finished::new(StepOutcome::Canceled)
    };
    if let Some((best, score)) = best.and_then(|best| Some((&tried[best], tried[best].score?))) {
        finished.metrics = vec![(sweep.objective.primary_metric.clone(), score)];
        services.workspace.tag(&job, &[("best_child_run_id".to_owned(), best.job.clone())]);
        let (step, metrics) = (step.path.clone(), finished.metrics.clone());
        services.bus.publish(EventKind::StepTracked { step, metrics, models: Vec::new() });
    }
    let ended = services.workspace.end_step(&step.path, &job, finished.outcome.status());
    if let Err(message) = ended {
        warn(services, request, index, message.to_string());
    }
    finished
}

/// A trial.
struct Trial {
    step: usize,
    job: String,
    assignment: Assignment,
    /// What it logged of the primary metric so far.
    logged: Vec<f64>,
    score: Option<f64>,
    /// How it ended.
    outcome: Option<StepOutcome>,
    /// The names of the metrics that it logged.
    metrics: Vec<String>,
    is_stopped: bool,
}

/// The trials of a sweep that runs.
struct Search<'a> {
    index: usize,
    sweep: &'a Sweep,
    shared: &'a Arc<RunState>,
    children: Children,
    seed: u64,
    trials: Vec<Trial>,
    best: Option<usize>,
    /// Whether no more trials start.
    is_closed: bool,
}

impl<'a> Search<'a> {
    fn of(index: usize, sweep: &'a Sweep, shared: &'a Arc<RunState>, stop: &StopWatch) -> Self {
        // Without a seed of the author, the same file gives the same trials, so that they can be reused.
        let digest = Digest::of(shared.request.step(index).path.as_bytes()).to_string();
        let seed = u64::from_str_radix(digest.get(..16).unwrap_or_default(), 16).unwrap_or(0);
        let children = Children::of(index, shared, stop.clone());
        Self { index, sweep, shared, children, seed, trials: Vec::new(), best: None, is_closed: false }
    }

    async fn run(&mut self) {
        let mut logged = self.shared.services.workspace.metrics_logged();
        let deadline = self.sweep.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            self.start_trials().await;
            if self.children.open().is_empty() {
                return;
            }
            let has_policy = self.sweep.early_termination.is_some();
            let news = async {
                match &mut logged {
                    Some(logged) if has_policy => logged.changed().await.is_ok(),
                    _ => std::future::pending().await,
                }
            };
            let timeout = async {
                match deadline.filter(|_| !self.is_closed) {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                end = self.children.next() => match end {
                    Some(end) => self.ended(end),
                    None => return,
                },
                news = news => if news { self.end_poor_trials() } else { logged = None },
                () = timeout => self.time_is_over(),
            }
        }
    }

    /// Starts trials, up to the limits.
    async fn start_trials(&mut self) {
        while !self.is_closed
            && self.trials.len() < self.sweep.max_total_trials
            && self.children.open().len() < self.sweep.max_concurrent_trials
        {
            let number = self.trials.len();
            let Some(assignment) = self.assignment(number) else {
                self.is_closed = true;
                return;
            };
            if !self.start(number, assignment).await {
                self.is_closed = true;
            }
        }
    }

    /// The parameters of a trial: those of an earlier runner, or new ones.
    fn assignment(&self, number: usize) -> Option<Assignment> {
        let resumed = self.shared.request.resumed.as_ref();
        let earlier = resumed.and_then(|resumed| resumed.children.get(&self.path(number)));
        let earlier = earlier.and_then(|earlier| Assignment::recorded(&earlier.parameters));
        earlier.or_else(|| {
            let Sweep { space, algorithm, objective, .. } = self.sweep;
            // The others do not look back.
            let seen = self.trials.iter().filter(|_| *algorithm == Algorithm::Bayesian);
            let seen = seen.map(|trial| sweep::Trial { assignment: trial.assignment.clone(), score: trial.score });
            propose(space, algorithm, objective.goal, self.seed, number, &seen.collect::<Vec<_>>())
        })
    }

    /// The path of a trial. A job of its own is its only step, so its trials need no prefix.
    fn path(&self, number: usize) -> String {
        let trial = format!("trial_{number}");
        match self.shared.request.plan.kind.as_str() {
            "pipeline" => format!("{}.{trial}", self.shared.request.step(self.index).path),
            _ => trial,
        }
    }

    async fn start(&mut self, number: usize, assignment: Assignment) -> bool {
        let request = &self.shared.request;
        let path = self.path(number);
        let job = format!("{}_{number}", request.step_job(self.index));
        let texts = assignment.texts();
        let outputs = &request.step(self.index).outputs;
        let taken = outputs
            .iter()
            .filter(|output| output.asset.is_some() || collect::is_wanted(self.index, &output.name, request));
        let taken = taken.map(|output| (0, output.name.clone())).collect();
        let (shared, index) = (self.shared.clone(), self.index);
        let make = move |first: usize| {
            let parent = shared.request.step(index);
            let mut values: HashMap<String, Value> =
                texts.iter().map(|(name, text)| (parameter(name), Value::text(text))).collect();
            let given = parent.inputs.iter().filter_map(|input| Some((input.name.clone(), input.value.clone()?)));
            values.extend(given);
            let StepBody::Sweep(sweep) = &parent.body else { return Vec::new() };
            sweep.trial.instantiate(&parent.path, &path, first, &|name| values.get(name).cloned())
        };
        let Some(steps) = self.children.add(Some(job.clone()), assignment.record(), taken, make).await else {
            return false;
        };
        self.trials.push(Trial {
            step: steps.start,
            job,
            assignment,
            logged: Vec::new(),
            score: None,
            outcome: None,
            metrics: Vec::new(),
            is_stopped: false,
        });
        self.show();
        true
    }

    fn ended(&mut self, end: ChildEnd) {
        let Some(number) = self.trials.iter().position(|trial| trial.step == end.step) else { return };
        let metric = &self.sweep.objective.primary_metric;
        let goal = self.sweep.objective.goal;
        let workspace = &self.shared.services.workspace;
        let trial = &mut self.trials[number];
        trial.logged = workspace.metric_history(end.reused_from.as_ref().unwrap_or(&trial.job), metric);
        if trial.logged.is_empty() {
            // What the job logged may have been removed since. Its last value is in the record.
            trial.logged.extend(end.metrics.iter().filter(|(name, _)| name == metric).map(|(_, value)| value));
        }
        trial.score = sweep::score(goal, &trial.logged);
        trial.metrics = end.metrics.into_iter().map(|(name, _)| name).collect();
        let completed = end.outcome == StepOutcome::Completed;
        trial.outcome = Some(end.outcome);
        if let Some(score) = trial.score {
            let other = self.best.and_then(|best| self.trials[best].score);
            let best = completed && other.is_none_or(|other| better(goal, score, other));
            if best {
                self.best = Some(number);
            }
            let step = self.shared.request.step(end.step).path.clone();
            self.shared.services.bus.publish(EventKind::StepScored { step, score, best });
        }
        self.show();
    }

    /// Ends the running trials that the policy ends, given what they logged since.
    fn end_poor_trials(&mut self) {
        let Some(policy) = &self.sweep.early_termination else { return };
        let objective = &self.sweep.objective;
        for number in 0..self.trials.len() {
            let trial = &self.trials[number];
            if trial.outcome.is_some() || trial.is_stopped {
                continue;
            }
            let logged = self.shared.services.workspace.metric_history(&trial.job, &objective.primary_metric);
            let known = std::mem::replace(&mut self.trials[number].logged, logged).len();
            let others = self.trials.iter().enumerate().filter(|(other, _)| *other != number);
            let others: Vec<&[f64]> = others.map(|(_, trial)| trial.logged.as_slice()).collect();
            let trial = &self.trials[number];
            // Several values may have come at once: each is an interval of its own.
            let mut intervals = known + 1..=trial.logged.len();
            let ended =
                intervals.find(|&interval| should_stop(policy, objective.goal, &trial.logged[..interval], &others));
            if let Some(interval) = ended {
                let value = sweep::score(objective.goal, &trial.logged[..interval]).unwrap_or(f64::NAN);
                let metric = &objective.primary_metric;
                let why = format!("ended early at interval {interval} by the policy: its best {metric} was {value}");
                self.children.stop(trial.step, why);
                self.trials[number].is_stopped = true;
            }
        }
    }

    fn time_is_over(&mut self) {
        self.is_closed = true;
        let seconds = self.sweep.timeout.unwrap_or_default().as_secs();
        for &step in self.children.open() {
            self.children.stop(step, format!("the timeout of the sweep is over ({seconds} s, limits.timeout)"));
        }
    }

    /// Shows the state of the sweep in passing.
    fn show(&self) {
        let RunState { request, services, .. } = &**self.shared;
        let over = self.trials.iter().filter(|trial| trial.outcome.is_some()).count();
        let mut text = format!("{over} of up to {} trials", self.sweep.max_total_trials);
        if let Some((best, score)) = self.best.and_then(|best| Some((best, self.trials[best].score?))) {
            text.push_str(&format!(", best {} {score} (trial_{best})", self.sweep.objective.primary_metric));
        }
        services.bus.progress(&request.step(self.index).path, &text);
    }
}

/// The end of a sweep whose trials are over.
async fn conclude(
    index: usize,
    sweep: &Sweep,
    best: Option<&Trial>,
    trials: &[Trial],
    shared: &Arc<RunState>,
    stop: &StopWatch,
) -> Finished {
    let RunState { request, services, output_table, .. } = &**shared;
    let completed = trials.iter().filter(|trial| trial.outcome == Some(StepOutcome::Completed)).count();
    if completed == 0 {
        return Finished::failed(Failure::other(none_completed(trials, shared)));
    }
    let Some(best) = best else {
        let message = no_metric(&sweep.objective.primary_metric, trials);
        if request.step(index).outputs.is_empty() {
            warn(services, request, index, message);
            return Finished::new(StepOutcome::Completed);
        }
        return Finished::failed(Failure::other(format!("{message}, so none of them is the best")));
    };
    let outputs = output_table.outputs(best.step).unwrap_or_default().to_vec();
    let (kept, watch) = (outputs.clone(), stop.clone());
    let put = {
        let shared = shared.clone();
        blocking(move || publish(index, &kept, &shared, &watch))
    };
    match put.await {
        Ok(()) => {
            let completed = Some(CompletedStep::outputs_only(index, outputs.clone()));
            Finished { outputs, completed, ..Finished::new(StepOutcome::Completed) }
        }
        Err(_) if *stop.borrow() != Stop::None => Finished::new(StepOutcome::Canceled),
        Err(failure) => Finished::failed(failure),
    }
}

/// Uploads and registers outputs that a step takes from one that it added.
pub(super) fn publish(
    index: usize,
    outputs: &[OutputInfo],
    shared: &RunState,
    stop: &StopWatch,
) -> Result<(), Failure> {
    let RunState { request, services, .. } = shared;
    for output in &request.step(index).outputs {
        let Some(made) = outputs.iter().find(|made| made.name == output.name) else { continue };
        collect::upload(index, output, made, request, services, stop)?;
        collect::register(index, output, made, request, services)?;
    }
    Ok(())
}

fn none_completed(trials: &[Trial], shared: &RunState) -> String {
    let first = trials.iter().find_map(|trial| match &trial.outcome {
        Some(StepOutcome::Failed { failure }) => Some((trial.step, failure.to_string())),
        _ => None,
    });
    let none = match trials.len() {
        0 => return "it has no trials: the search space is empty".to_owned(),
        1 => "its only trial did not complete".to_owned(),
        count => format!("none of its {count} trials completed"),
    };
    match first {
        Some((step, why)) => format!("{none} ({}: {why})", shared.request.step(step).path),
        None => none,
    }
}

fn no_metric(metric: &str, trials: &[Trial]) -> String {
    let mut logged: Vec<&str> = trials.iter().flat_map(|trial| &trial.metrics).map(String::as_str).collect();
    logged.sort_unstable();
    logged.dedup();
    let what = match (suggest::nearest(metric, logged.iter().copied()), logged.as_slice()) {
        (Some(near), _) => format!("; did you mean '{near}'?"),
        (None, []) => "; log it with MLflow".to_owned(),
        (None, logged) => format!("; they logged: {}", logged.join(", ")),
    };
    format!("no trial logged the primary metric '{metric}'{what}")
}
