//! What happens in a run, said once.
//!
//! An [`Event`] is owned, numbered and serialisable. The [`bus`] writes it to the [`journal`] first (`events.jsonl` is
//! the record) and then hands it to whoever watches: terminal, plain text, JSON lines. All of them draw the same
//! [`RunView`], which is the [`fold`] of the events so far; so does `amlrun job show` long after the run.
//!
//! This module uses the base only: no plan, no store, no process. Lines that a step prints pass over the bus but are not
//! events: they have a file of their own.

pub mod bus;
pub mod fold;
pub mod journal;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::outcome::{Failure, JobStatus, StepOutcome};
use crate::reason::Reason;

pub use bus::{Bus, Moving, Note, Slow};
pub use fold::{RunView, StepView};

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the run, from 0.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: EventKind,
}

/// A step, as the first event lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepInfo {
    /// Its name in the pipeline.
    pub path: String,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub display_name: Option<String>,
    /// Its job name.
    pub job: String,
    /// What it is on Azure ML: `command`, `spark`, `sweep` …
    #[serde(rename = "type", skip_serializing_if = "is_command", default = "command")]
    pub kind: String,
    /// The policy of `amlrun.toml` by which something stands in for it: `stub`, `replay` or `skip`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stand_in: Option<String>,
    /// The steps that it needs, by name.
    pub needs: Vec<String>,
}

/// An output that a step wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it lies.
    pub path: PathBuf,
    /// How many files it has.
    pub files: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The stat of its files when it was sealed, by which it is seen that somebody touched it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub fingerprint: String,
}

impl OutputInfo {
    /// The address by which another job names it as an input: that of an output of the job `job`.
    #[must_use]
    pub fn uri(&self, job: &str) -> String {
        format!("azureml://jobs/{job}/outputs/{}", self.name)
    }
}

/// The log of one of the several processes of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLog {
    /// Which process it is, such as `rank 1`.
    pub process: String,
    /// What it prints.
    pub log: PathBuf,
}

/// Data that was moved, or that was where it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// How many files it has.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many files were moved.
    pub moved_files: u64,
    /// How many bytes that were.
    pub moved_bytes: u64,
    /// How many milliseconds that took.
    pub millis: u64,
}

/// What can happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run begins.
    RunStarted {
        /// Its name.
        run: String,
        /// `pipeline`, `command`, or a type that something stands in for.
        #[serde(rename = "type")]
        kind: String,
        /// Its name for people.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        display_name: Option<String>,
        /// What it is for.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        description: Option<String>,
        /// The experiment that it belongs to.
        experiment: String,
        /// Free labels.
        tags: Vec<(String, String)>,
        /// The job file.
        job_file: PathBuf,
        /// The runner's process.
        pid: u32,
        /// The runner's version.
        amlrun: String,
        /// How many seconds steps have to end by themselves when the run is stopped.
        #[serde(default)]
        grace: u64,
        /// All steps, each after those it needs.
        steps: Vec<StepInfo>,
    },
    /// A run that had ended, or whose runner had died, goes on.
    RunResumed {
        /// The runner's process.
        pid: u32,
        /// The runner's version.
        amlrun: String,
        /// How many seconds steps have to end by themselves when the run is stopped.
        #[serde(default)]
        grace: u64,
        /// The steps that are to run now; all others stay as they are.
        steps: Vec<String>,
    },
    /// Something about this run that people should know.
    Note {
        /// What.
        message: String,
    },
    /// A step's folders are being made.
    StepPreparing {
        /// The step.
        step: String,
        /// Which try it is, from 1.
        #[serde(skip_serializing_if = "is_one", default = "one")]
        attempt: u32,
        /// Why it runs and no earlier result stands for it.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        because: Vec<Reason>,
    },
    /// A step is ready, and waits until fewer others run.
    StepQueued {
        /// The step.
        step: String,
    },
    /// An earlier result stands for a step.
    StepReused {
        /// The step.
        step: String,
        /// The run that made it.
        run: String,
        /// The job name of the step in that run.
        job: String,
        /// What that step wrote.
        outputs: Vec<OutputInfo>,
        /// What it logged.
        #[serde(skip_serializing_if = "Vec::is_empty", default, with = "crate::number::metrics")]
        metrics: Vec<(String, f64)>,
        /// What somebody may want to know of it: that an output was touched, but has the same bytes.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        because: Vec<Reason>,
    },
    /// A step failed and is tried again.
    StepRetried {
        /// The step.
        step: String,
        /// How the try ended.
        failure: Failure,
        /// Which try it was, from 1.
        attempt: u32,
        /// How many there may be.
        of: u32,
    },
    /// A step's process runs.
    StepStarted {
        /// The step.
        step: String,
        /// The command as the shell got it.
        command: String,
        /// Its log; of a step with several processes, the first one's.
        log: PathBuf,
        /// The log of each process, when there are several.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        logs: Vec<ProcessLog>,
    },
    /// Remote data that a step reads was fetched, or was here already.
    DataFetched {
        /// The step.
        step: String,
        /// Its address, without a signature.
        uri: String,
        /// What was moved for it.
        #[serde(flatten)]
        moved: Moved,
    },
    /// An output was put into a remote place, or was there already.
    OutputUploaded {
        /// The step.
        step: String,
        /// The output.
        output: String,
        /// The place's address, without a signature.
        uri: String,
        /// What was moved for it.
        #[serde(flatten)]
        moved: Moved,
    },
    /// An output became an asset of the registry.
    AssetRegistered {
        /// The step.
        step: String,
        /// The output.
        output: String,
        /// The asset, as `name:version`.
        id: String,
    },
    /// What a step told the tracking server, at its end.
    StepTracked {
        /// The step.
        step: String,
        /// The last value of each metric.
        #[serde(with = "crate::number::metrics")]
        metrics: Vec<(String, f64)>,
        /// The models that it registered itself, as `name:version`.
        models: Vec<String>,
    },
    /// Something went wrong that does not stop the run.
    Warning {
        /// The step it is about.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        step: Option<String>,
        /// What.
        message: String,
    },
    /// A step ended or will never run.
    StepFinished {
        /// The step.
        step: String,
        /// How.
        #[serde(flatten)]
        outcome: StepOutcome,
        /// What it wrote.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        outputs: Vec<OutputInfo>,
    },
    /// Somebody asked for the run to stop.
    CancelRequested {
        /// How: `Ctrl-C`, `SIGTERM` …
        by: String,
    },
    /// The run is over.
    RunFinished {
        /// How it ended.
        status: JobStatus,
        /// The job's own outputs.
        outputs: Vec<OutputInfo>,
    },
}

impl Event {
    /// The same with other paths.
    #[must_use]
    pub(super) fn with_paths(mut self, change: &dyn Fn(&Path) -> PathBuf) -> Self {
        let outputs = |outputs: &mut Vec<OutputInfo>| {
            outputs.iter_mut().for_each(|output| output.path = change(&output.path));
        };
        match &mut self.what {
            EventKind::RunStarted { job_file, .. } => *job_file = change(job_file),
            EventKind::StepStarted { log, logs, .. } => {
                *log = change(log);
                logs.iter_mut().for_each(|process| process.log = change(&process.log));
            }
            EventKind::StepReused { outputs: all, .. }
            | EventKind::StepFinished { outputs: all, .. }
            | EventKind::RunFinished { outputs: all, .. } => outputs(all),
            _ => {}
        }
        self
    }

    /// Whether a record keeps paths of it.
    fn has_paths(&self) -> bool {
        match &self.what {
            EventKind::RunStarted { .. } | EventKind::StepStarted { .. } => true,
            EventKind::StepReused { outputs, .. }
            | EventKind::StepFinished { outputs, .. }
            | EventKind::RunFinished { outputs, .. } => !outputs.is_empty(),
            _ => false,
        }
    }
}

fn command() -> String {
    "command".to_owned()
}

fn is_command(kind: &str) -> bool {
    kind == "command"
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_one(number: &u32) -> bool {
    *number == 1
}
