//! The events of a run.
//!
//! An [`Event`] is owned, numbered and serialisable. The [`bus`] first writes it to the [`journal`] (`events.jsonl` is
//! the record), and then passes it to the views: terminal, plain text, JSON lines. All of them draw the same
//! [`RunView`], which is the [`fold`] of the events so far. `amlrun job show` uses it too, long after the run.
//!
//! This module uses only the base: no plan, no store, no process. Lines that a step prints pass over the bus, but are
//! not events: they are stored in the step's log.

pub mod bus;
pub mod fold;
pub mod journal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::handle::Handle;
use crate::outcome::{Failure, JobStatus, StepOutcome};
use crate::reason::Reason;

pub use bus::{Bus, Moving, Note, Slow};
pub use fold::{RunView, StepView};

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the run, from 0.
    pub seq: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

/// A step, as the first event lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepInfo {
    /// Its path in the pipeline.
    pub path: String,
    /// Its display name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub display_name: Option<String>,
    /// Its job name.
    pub job: String,
    /// Its type on Azure ML: `command`, `spark`, `sweep` …
    #[serde(rename = "type", skip_serializing_if = "is_command", default = "command")]
    pub kind: String,
    /// The policy in `amlrun.toml` that replaces it: `stub`, `replay` or `skip`.
    #[serde(skip_serializing_if = "Option::is_none", default, alias = "stand_in")]
    pub substitute: Option<String>,
    /// The samples that replace it, if it is a stub.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub samples: Vec<PathBuf>,
    /// The paths of the steps that it depends on.
    pub needs: Vec<String>,
    /// The step that added it while the run went on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<String>,
    /// What its parent gave it: the parameters of a trial, or the item of a loop.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parameters: Vec<(String, serde_json::Value)>,
}

/// An output that a step wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputInfo {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its path.
    pub path: PathBuf,
    /// Its number of files.
    pub files: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The fingerprint of its files' stat when it was sealed. If it differs, the output was changed.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub fingerprint: String,
}

impl OutputInfo {
    /// The address by which another job can use it as an input. `job` is the job that has the output.
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

/// Data that was transferred, or was already at its destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Its number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many files were transferred.
    pub moved_files: u64,
    /// How many bytes were transferred.
    pub moved_bytes: u64,
    /// The elapsed time in milliseconds.
    pub millis: u64,
}

/// The kinds of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run starts.
    RunStarted {
        /// Its name.
        run: String,
        /// `pipeline`, `command`, or a type that a policy replaces.
        #[serde(rename = "type")]
        kind: String,
        /// Its display name.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        display_name: Option<String>,
        /// Its description.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        description: Option<String>,
        /// The experiment that it belongs to.
        experiment: String,
        /// Its tags.
        tags: Vec<(String, String)>,
        /// The job file.
        job_file: PathBuf,
        /// The runner's process.
        pid: u32,
        /// The runner's version.
        amlrun: String,
        /// Seconds that steps have to end by themselves when the run is stopped.
        #[serde(default)]
        grace: u64,
        /// How environments are provided; `None` for what is installed on this machine.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        environments: Option<String>,
        /// The run whose environments are built again with the same versions.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        locked: Option<String>,
        /// All steps, each after the steps that it depends on.
        steps: Vec<StepInfo>,
    },
    /// A run that had ended, or whose runner had died, is resumed.
    RunResumed {
        /// The runner's process.
        pid: u32,
        /// The runner's version.
        amlrun: String,
        /// Seconds that steps have to end by themselves when the run is stopped.
        #[serde(default)]
        grace: u64,
        /// The steps that are to run now. All others keep their state.
        steps: Vec<String>,
    },
    /// A note about this run for the user.
    Note {
        /// The note.
        message: String,
    },
    /// The folders of a step are being created.
    StepPreparing {
        /// The step.
        step: String,
        /// The number of the attempt, from 1.
        #[serde(skip_serializing_if = "is_one", default = "one")]
        attempt: u32,
        /// Why it runs and no earlier result is reused.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        because: Vec<Reason>,
    },
    /// A step without a process of its own has begun: a sweep, a loop, or a copy.
    ParentStarted {
        /// The step.
        step: String,
    },
    /// A step added others while the run goes on.
    StepsAdded {
        /// The step that they belong to.
        step: String,
        /// They, each after those that it depends on.
        steps: Vec<StepInfo>,
    },
    /// A trial of a sweep ended with a value of the primary metric.
    StepScored {
        /// The trial.
        step: String,
        /// The best value that it logged.
        score: f64,
        /// Whether it is the best trial so far.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        best: bool,
    },
    /// A step is ended before its time, and that is no failure.
    StepStopped {
        /// The step.
        step: String,
        /// Why.
        why: String,
    },
    /// A step is ready and waits for a slot.
    StepQueued {
        /// The step.
        step: String,
    },
    /// An earlier result is reused for a step.
    StepReused {
        /// The step.
        step: String,
        /// The run that made the result.
        run: String,
        /// The job name of the step in that run.
        job: String,
        /// What that step wrote.
        outputs: Vec<OutputInfo>,
        /// What it logged.
        #[serde(skip_serializing_if = "Vec::is_empty", default, with = "crate::number::metrics")]
        metrics: Vec<(String, f64)>,
        /// Remarks about the result, such as that an output was modified but has the same content.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        because: Vec<Reason>,
    },
    /// A step failed and is retried.
    StepRetried {
        /// The step.
        step: String,
        /// How the attempt failed.
        failure: Failure,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The maximum number of attempts.
        of: u32,
    },
    /// A step's process has started.
    StepStarted {
        /// The step.
        step: String,
        /// The command as passed to the shell.
        command: String,
        /// Its log; of a step with several processes, the first one's.
        log: PathBuf,
        /// The log of each process, when there are several.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        logs: Vec<ProcessLog>,
        /// The name of the environment that was built for it; `None` if it uses this machine.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        environment: Option<String>,
        /// Its processes.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        handle: Option<Handle>,
    },
    /// The environment of a step is being built.
    EnvironmentBuilding {
        /// The step that needs it first.
        step: String,
        /// Its name.
        environment: String,
        /// Where its definition is from, such as `conda file`.
        source: String,
    },
    /// The environment of a step is ready. Recorded once for each environment of a run.
    EnvironmentReady {
        /// The step that needs it first.
        step: String,
        /// Its name.
        environment: String,
        /// The digest of its definition.
        digest: String,
        /// The version of Python.
        python: String,
        /// The version of each installed distribution.
        packages: BTreeMap<String, String>,
        /// How long it took to build, in milliseconds; `None` if it was built before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        millis: Option<u64>,
    },
    /// The container image of a step is being pulled or built.
    ImagePreparing {
        /// The step that needs it first.
        step: String,
        /// The name of the environment.
        environment: String,
        /// Where it is from, such as `image with a conda file`.
        source: String,
        /// `pull` or `build`.
        how: String,
    },
    /// The container image of a step is ready. Recorded once for each environment of a run.
    ImageReady {
        /// The step that needs it first.
        step: String,
        /// The name of the environment.
        environment: String,
        /// The id of the image, a digest of its content.
        image: String,
        /// How long it took to pull or build it, in milliseconds; `None` if it was here before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        millis: Option<u64>,
    },
    /// Remote data that a step reads was downloaded, or was here already.
    DataFetched {
        /// The step.
        step: String,
        /// The address of the data, without a signature.
        uri: String,
        /// What was transferred.
        #[serde(flatten)]
        moved: Moved,
    },
    /// An output was uploaded, or was at its destination already.
    OutputUploaded {
        /// The step.
        step: String,
        /// The output.
        output: String,
        /// The destination's address, without a signature.
        uri: String,
        /// What was transferred.
        #[serde(flatten)]
        moved: Moved,
    },
    /// An output was registered as an asset.
    AssetRegistered {
        /// The step.
        step: String,
        /// The output.
        output: String,
        /// The asset, as `name:version`.
        id: String,
    },
    /// What a step logged to the tracking server, recorded when it ends.
    StepTracked {
        /// The step.
        step: String,
        /// The last value of each metric.
        #[serde(with = "crate::number::metrics")]
        metrics: Vec<(String, f64)>,
        /// The models that it registered itself, as `name:version`.
        models: Vec<String>,
    },
    /// A problem that does not stop the run.
    Warning {
        /// The step that has the problem.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        step: Option<String>,
        /// The message.
        message: String,
    },
    /// A step ended, or will never run.
    StepFinished {
        /// The step.
        step: String,
        /// How it ended.
        #[serde(flatten)]
        outcome: StepOutcome,
        /// What it wrote.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        outputs: Vec<OutputInfo>,
    },
    /// The user asked for the run to stop.
    CancelRequested {
        /// By what: `Ctrl-C`, `SIGTERM` …
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
    /// The same event with its paths mapped.
    #[must_use]
    pub(super) fn with_paths(mut self, change: &dyn Fn(&Path) -> PathBuf) -> Self {
        let outputs = |outputs: &mut Vec<OutputInfo>| {
            outputs.iter_mut().for_each(|output| output.path = change(&output.path));
        };
        match &mut self.what {
            EventKind::RunStarted { job_file, steps, .. } => {
                *job_file = change(job_file);
                steps.iter_mut().flat_map(|step| &mut step.samples).for_each(|sample| *sample = change(sample));
            }
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

    /// Whether the event has paths.
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
