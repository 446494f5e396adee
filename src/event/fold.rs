//! The state of a run: the fold of its events so far.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Event, EventKind, OutputInfo, ProcessLog, StepInfo};
use crate::clock::Timestamp;
use crate::handle::Handle;
use crate::outcome::{Failure, JobStatus, StepOutcome};
use crate::reason::Reason;

/// The state of a run according to its events.
#[derive(Clone, Debug)]
pub struct RunView {
    /// Its name.
    pub run: String,
    /// `pipeline` or `command`.
    pub kind: String,
    /// Its display name.
    pub display_name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// The experiment that it belongs to.
    pub experiment: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The job file.
    pub job_file: PathBuf,
    /// The runner's process.
    pub pid: u32,
    /// Seconds that steps have to end by themselves when the run is stopped.
    pub grace: u64,
    /// How environments are provided; `None` for what is installed on this machine.
    pub environments: Option<String>,
    /// The run whose environments are built again with the same versions.
    pub locked: Option<String>,
    /// Its status.
    pub status: JobStatus,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it was last resumed, after it had ended or its runner had died.
    pub resumed: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Its steps, each after the steps that it depends on. Those that were added come last.
    pub steps: Vec<StepView>,
    /// The job's own outputs.
    pub outputs: Vec<OutputInfo>,
    /// Problems that did not stop it.
    pub warnings: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The line numbers of its record that cannot be read.
    pub damaged: Vec<usize>,
    /// The length of the longest step path, in characters.
    pub width: usize,
    /// The position of each step in the list.
    by_path: HashMap<String, usize>,
    /// The number of steps with each status, without those that were added.
    tally: HashMap<JobStatus, usize>,
}

/// The state of a step according to its events.
#[derive(Clone, Debug)]
pub struct StepView {
    /// Its path in the pipeline.
    pub path: String,
    /// Its display name.
    pub display_name: Option<String>,
    /// Its job name.
    pub job: String,
    /// Its type on Azure ML: `command`, `spark`, `sweep` …
    pub kind: String,
    /// The name of the environment that was built for it; `None` if it uses this machine.
    pub environment: Option<String>,
    /// The policy that replaces it: `stub`, `replay` or `skip`.
    pub substitute: Option<String>,
    /// The samples that replace it, if it is a stub.
    pub samples: Vec<PathBuf>,
    /// The steps that it depends on.
    pub needs: Vec<String>,
    /// Its status.
    pub status: JobStatus,
    /// When its process started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The command as passed to the shell.
    pub command: Option<String>,
    /// Its log; of a step with several processes, the first one's.
    pub log: Option<PathBuf>,
    /// The log of each process, when there are several.
    pub logs: Vec<ProcessLog>,
    /// The processes of its last attempt.
    pub handle: Option<Handle>,
    /// How it ended.
    pub outcome: Option<StepOutcome>,
    /// What it wrote.
    pub outputs: Vec<OutputInfo>,
    /// The assets that were registered from its outputs, as `name:version`.
    pub assets: Vec<String>,
    /// The last value of each metric that it logged.
    pub metrics: Vec<(String, f64)>,
    /// The job name of the step whose result is reused.
    pub reused_from: Option<String>,
    /// The run that made that result.
    pub reused_run: Option<String>,
    /// Why it ran, or remarks about the reused result.
    pub because: Vec<Reason>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Whether any attempt was started in this run.
    pub begun: bool,
    /// The step that added it.
    pub parent: Option<String>,
    /// What its parent gave it.
    pub parameters: Vec<(String, serde_json::Value)>,
    /// The steps that it added, by their positions in the list.
    pub children: Vec<usize>,
    /// The best value of the primary metric that it logged, if it is a trial.
    pub score: Option<f64>,
    /// The best of its trials.
    pub best: Option<String>,
    /// Why it was ended before its time.
    pub stopped: Option<String>,
}

impl Default for RunView {
    fn default() -> Self {
        Self {
            run: String::new(),
            kind: String::new(),
            display_name: None,
            description: None,
            experiment: String::new(),
            tags: Vec::new(),
            job_file: PathBuf::new(),
            pid: 0,
            grace: 0,
            environments: None,
            locked: None,
            status: JobStatus::NotStarted,
            started: None,
            resumed: None,
            ended: None,
            steps: Vec::new(),
            outputs: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            damaged: Vec::new(),
            width: 0,
            by_path: HashMap::new(),
            tally: HashMap::new(),
        }
    }
}

impl RunView {
    /// The state after all these events.
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut view = Self::default();
        events.into_iter().for_each(|event| view.apply(event));
        view
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &Event) {
        match &event.what {
            EventKind::RunStarted {
                run,
                kind,
                display_name,
                description,
                experiment,
                tags,
                job_file,
                pid,
                grace,
                environments,
                locked,
                steps,
                ..
            } => {
                self.run.clone_from(run);
                self.kind.clone_from(kind);
                self.display_name.clone_from(display_name);
                self.description.clone_from(description);
                self.experiment.clone_from(experiment);
                self.tags.clone_from(tags);
                self.job_file.clone_from(job_file);
                (self.pid, self.grace) = (*pid, *grace);
                self.environments.clone_from(environments);
                self.locked.clone_from(locked);
                self.status = JobStatus::Running;
                self.started = Some(event.time);
                self.steps = steps.iter().map(StepView::new).collect();
                self.width = steps.iter().map(|s| s.path.chars().count()).max().unwrap_or(0);
                self.by_path = steps.iter().enumerate().map(|(index, s)| (s.path.clone(), index)).collect();
                self.tally = HashMap::from([(JobStatus::NotStarted, steps.len())]);
            }
            EventKind::RunResumed { pid, grace, steps, .. } => {
                (self.pid, self.grace) = (*pid, *grace);
                self.status = JobStatus::Running;
                (self.resumed, self.ended) = (Some(event.time), None);
                for path in steps {
                    self.with(path, StepView::again);
                }
            }
            EventKind::Note { message } => self.notes.push(message.clone()),
            EventKind::StepPreparing { step, attempt, because } => self.with(step, |s| {
                s.status = JobStatus::Preparing;
                s.attempt = *attempt;
                s.begun = true;
                // A retry after a failure has no reason of its own.
                if !because.is_empty() {
                    s.because.clone_from(because);
                }
            }),
            EventKind::StepReused { step, run, job, outputs, metrics, because } => self.with(step, |s| {
                s.status = JobStatus::Completed;
                s.outcome = Some(StepOutcome::Completed);
                s.reused_from = Some(job.clone());
                s.reused_run = Some(run.clone());
                s.outputs.clone_from(outputs);
                s.metrics.clone_from(metrics);
                s.because.clone_from(because);
            }),
            EventKind::ParentStarted { step } => self.with(step, |s| {
                s.status = JobStatus::Running;
                s.started = s.started.or(Some(event.time));
            }),
            EventKind::StepsAdded { step, steps } => self.add(step, steps),
            EventKind::StepScored { step, score, best } => {
                self.with(step, |s| s.score = Some(*score));
                let parent = self.step(step).and_then(|s| s.parent.clone()).filter(|_| *best);
                if let Some(parent) = parent {
                    self.with(&parent, |s| s.best = Some(step.clone()));
                }
            }
            EventKind::StepStopped { step, why } => self.with(step, |s| s.stopped = Some(why.clone())),
            EventKind::StepQueued { step } => self.with(step, |s| s.status = JobStatus::Queued),
            EventKind::StepRetried { step, .. } => self.with(step, |s| s.status = JobStatus::Preparing),
            EventKind::StepStarted { step, command, log, logs, environment, handle } => self.with(step, |s| {
                s.status = JobStatus::Running;
                s.started = Some(event.time);
                s.command = Some(command.clone());
                s.log = Some(log.clone());
                s.logs.clone_from(logs);
                s.environment.clone_from(environment);
                s.handle.clone_from(handle);
            }),
            EventKind::AssetRegistered { step, id, .. } => self.with(step, |s| s.assets.push(id.clone())),
            EventKind::DataFetched { step, .. } => self.with(step, |s| s.begun = true),
            EventKind::OutputUploaded { .. }
            | EventKind::EnvironmentBuilding { .. }
            | EventKind::EnvironmentReady { .. }
            | EventKind::ImagePreparing { .. }
            | EventKind::ImageReady { .. } => {}
            EventKind::StepTracked { step, metrics, models } => self.with(step, |s| {
                s.metrics.clone_from(metrics);
                s.assets.extend(models.iter().cloned());
            }),
            EventKind::Warning { step, message } => self.warnings.push(match step {
                Some(step) => format!("{step}: {message}"),
                None => message.clone(),
            }),
            EventKind::StepFinished { step, outcome, outputs } => self.with(step, |s| {
                s.status = outcome.status();
                s.ended = Some(event.time);
                s.outcome = Some(outcome.clone());
                s.outputs.clone_from(outputs);
            }),
            // A signal may still arrive when the run has ended. Then nothing was canceled.
            EventKind::CancelRequested { .. } if self.status.is_final() => {}
            EventKind::CancelRequested { .. } => self.status = JobStatus::CancelRequested,
            EventKind::RunFinished { status, outputs } => {
                self.status = *status;
                self.ended = Some(event.time);
                self.outputs.clone_from(outputs);
            }
        }
    }

    /// The step with that path.
    #[must_use]
    pub fn step(&self, path: &str) -> Option<&StepView> {
        self.by_path.get(path).map(|&index| &self.steps[index])
    }

    /// The number of steps with that status.
    #[must_use]
    pub fn count(&self, status: JobStatus) -> usize {
        self.tally.get(&status).copied().unwrap_or(0)
    }

    /// The number of steps that are over.
    #[must_use]
    pub fn over(&self) -> usize {
        self.tally.iter().filter(|(status, _)| status.is_final()).map(|(_, count)| count).sum()
    }

    /// The position of a step in the list.
    #[must_use]
    pub fn position(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// Marks a run whose runner died before it recorded the end as not responding. Its started steps are not responding
    /// either, and the others are canceled.
    pub fn runner_is_gone(&mut self) {
        if !self.status.is_final() {
            self.status = JobStatus::NotResponding;
            for step in self.steps.iter_mut().filter(|s| !s.status.is_final()) {
                let begun = step.status != JobStatus::NotStarted;
                step.status = if begun { JobStatus::NotResponding } else { JobStatus::Canceled };
            }
        }
    }

    /// Ends the unfinished steps of a run that is over. If the record lost how they ended, it follows from how the run
    /// ended.
    pub fn end_what_is_lost(&mut self) {
        if self.status.is_final() && !self.damaged.is_empty() {
            let status = match self.status {
                JobStatus::Completed => JobStatus::Completed,
                _ => JobStatus::NotResponding,
            };
            self.steps.iter_mut().filter(|step| !step.status.is_final()).for_each(|step| step.status = status);
        }
    }

    /// Adds steps below their parent. Those that are known keep their state.
    fn add(&mut self, parent: &str, steps: &[StepInfo]) {
        for info in steps.iter().filter(|info| !self.by_path.contains_key(&info.path)).collect::<Vec<_>>() {
            let position = self.steps.len();
            self.by_path.insert(info.path.clone(), position);
            self.steps.push(StepView::new(info));
            if let Some(&parent) = self.by_path.get(parent) {
                self.steps[parent].children.push(position);
            }
        }
    }

    /// The steps that were not added by others.
    pub fn roots(&self) -> impl Iterator<Item = &StepView> {
        self.steps.iter().filter(|step| step.parent.is_none())
    }

    /// The steps that a step added.
    pub fn children<'v>(&'v self, step: &'v StepView) -> impl Iterator<Item = &'v StepView> {
        step.children.iter().map(|&position| &self.steps[position])
    }

    fn with(&mut self, path: &str, change: impl FnOnce(&mut StepView)) {
        if let Some(&index) = self.by_path.get(path) {
            let step = &mut self.steps[index];
            let before = step.status;
            change(step);
            if step.status != before && step.parent.is_none() {
                *self.tally.entry(before).or_insert(1) -= 1;
                *self.tally.entry(step.status).or_insert(0) += 1;
            }
        }
    }
}

impl StepView {
    fn new(info: &StepInfo) -> Self {
        Self {
            path: info.path.clone(),
            display_name: info.display_name.clone(),
            job: info.job.clone(),
            kind: info.kind.clone(),
            environment: None,
            substitute: info.substitute.clone(),
            samples: info.samples.clone(),
            needs: info.needs.clone(),
            status: JobStatus::NotStarted,
            started: None,
            ended: None,
            command: None,
            log: None,
            logs: Vec::new(),
            handle: None,
            outcome: None,
            outputs: Vec::new(),
            assets: Vec::new(),
            metrics: Vec::new(),
            reused_from: None,
            reused_run: None,
            because: Vec::new(),
            attempt: 1,
            begun: false,
            parent: info.parent.clone(),
            parameters: info.parameters.clone(),
            children: Vec::new(),
            score: None,
            best: None,
            stopped: None,
        }
    }

    /// Resets a step that is to run again: how it ended before does not count any more.
    fn again(&mut self) {
        self.status = JobStatus::NotStarted;
        (self.started, self.ended, self.outcome) = (None, None, None);
        (self.reused_from, self.reused_run) = (None, None);
        (self.score, self.stopped) = (None, None);
        self.outputs.clear();
        self.assets.clear();
        self.metrics.clear();
        self.because.clear();
    }

    /// The number of the process that failed, for a step with several processes.
    #[must_use]
    pub fn process_that_failed(&self) -> Option<usize> {
        let Some(StepOutcome::Failed { failure: Failure::Process { process, .. } }) = &self.outcome else {
            return None;
        };
        self.logs.iter().position(|log| log.process == *process)
    }

    /// The log of the process that failed, or else the step's own.
    #[must_use]
    pub fn log_of_failure(&self) -> Option<&PathBuf> {
        self.process_that_failed().map(|number| &self.logs[number].log).or(self.log.as_ref())
    }

    /// How long its process ran. If it is still running, up to `now`.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Option<Duration> {
        Some(self.ended.unwrap_or(now).since(self.started?))
    }
}
