//! The status of a job and the outcome of a step, as values.
//!
//! A failed step is a result, not an error. Errors (`thiserror` enums, one for each module) are for a broken
//! environment. The status words are those of Azure ML, so that scripts need no change.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The status of a job or step, in Azure ML's words (reference, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobStatus {
    /// Waits for the steps that it depends on.
    NotStarted,
    /// Its inputs and code are being prepared.
    Preparing,
    /// It is ready and waits for a slot.
    Queued,
    /// Its process is running.
    Running,
    /// Its process ended; its outputs are being sealed and registered.
    Finalizing,
    /// The user asked for the run to stop; its processes are still ending.
    CancelRequested,
    /// Succeeded.
    Completed,
    /// Failed.
    Failed,
    /// Stopped on request, timed out, or never started because the run ended first.
    Canceled,
    /// The runner died before it could record how the run ended.
    NotResponding,
}

impl JobStatus {
    /// Whether the status is final.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::NotResponding)
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum StepOutcome {
    /// Its process ended with exit code 0, and all declared outputs exist.
    Completed,
    /// It ran, or could not be started, and failed.
    Failed {
        /// What went wrong.
        failure: Failure,
    },
    /// It was stopped on request.
    Canceled,
    /// It never ran.
    Skipped {
        /// Why not.
        reason: SkipReason,
    },
}

impl StepOutcome {
    /// The status word for this outcome: a skipped step is `Canceled`, as on Azure ML.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        match self {
            Self::Completed => JobStatus::Completed,
            // Azure ML cancels a job that exceeds its timeout (reference, section 7.1).
            Self::Failed { failure: Failure::TimedOut { .. } } => JobStatus::Canceled,
            Self::Failed { .. } => JobStatus::Failed,
            Self::Canceled | Self::Skipped { .. } => JobStatus::Canceled,
        }
    }
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Failure {
    /// The process ended with an exit code other than 0.
    ExitCode {
        /// The exit code.
        code: i32,
    },
    /// The shell ended with exit code 127 and reported a command that it did not find.
    CommandNotFound {
        /// The command.
        command: String,
    },
    /// The kernel killed the process, or one of its child processes, because memory was low.
    OutOfMemory,
    /// A signal ended the process.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// The process ran longer than `limits.timeout` and was stopped.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The process ended with exit code 0, but did not write a declared output.
    MissingOutput {
        /// The output's name.
        output: String,
    },
    /// A file of an input changed while the step was running.
    InputModified {
        /// The input's name.
        input: String,
        /// The file's path in the input.
        file: String,
    },
    /// It ended with exit code 0, but its outputs could not be stored because the disk is full.
    DiskFull {
        /// The path that could not be written.
        path: String,
    },
    /// One of its processes failed, and the others were stopped.
    Process {
        /// The process, such as `rank 1`.
        process: String,
        /// How it failed.
        failure: Box<Failure>,
    },
    /// Remote storage did not answer, or was busy. The same may succeed later.
    Unavailable {
        /// The message.
        message: String,
    },
    /// The step could not be prepared or started, or its outputs could not be stored.
    #[serde(alias = "surroundings")]
    Other {
        /// The message, with the path of the failure.
        message: String,
    },
}

impl Failure {
    /// A failure that is described by a message.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into() }
    }

    /// The failure after a bug of amlrun.
    pub fn internal(why: impl fmt::Display) -> Self {
        Self::other(format!("internal error; please report it: {why}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExitCode { code: 127 } => {
                f.write_str("exit code 127 (command not found: is it installed and on PATH?)")
            }
            Self::ExitCode { code: 126 } => f.write_str("exit code 126 (the command is not executable)"),
            Self::ExitCode { code: 137 } => f.write_str(
                "exit code 137 (a child process was killed by SIGKILL, often because the system ran out of memory)",
            ),
            Self::ExitCode { code } => match signal_name(code - 128) {
                Some(name) => {
                    write!(f, "exit code {code} (128 + {}: a child process was probably ended by {name})", code - 128)
                }
                None => write!(f, "exit code {code}"),
            },
            Self::CommandNotFound { command } => {
                write!(f, "exit code 127: the command '{command}' was not found (is it installed and on PATH?)")
            }
            Self::OutOfMemory => {
                f.write_str("killed by signal 9 (SIGKILL): the kernel reports that the system ran out of memory")
            }
            Self::Signal { signal: 9 } => {
                f.write_str("killed by signal 9 (SIGKILL, often because the system ran out of memory)")
            }
            Self::Signal { signal } => match signal_name(*signal) {
                Some(name) => write!(f, "killed by signal {signal} ({name})"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::TimedOut { limit } => {
                write!(f, "stopped after the timeout of {} s (limits.timeout)", limit.as_secs())
            }
            Self::MissingOutput { output } => {
                write!(f, "ended with exit code 0, but did not write its output '{output}'")
            }
            Self::InputModified { input, file } => {
                write!(f, "its input '{input}' changed while it ran: {file} (inputs are read-only: write to an output)")
            }
            Self::DiskFull { path } => {
                write!(f, "ended with exit code 0, but its outputs cannot be stored: the disk is full ({path})")
            }
            Self::Process { process, failure } => write!(f, "{process}: {failure}"),
            Self::Unavailable { message } | Self::Other { message } => f.write_str(message),
        }
    }
}

/// The name of a signal. `None` for a number that is not a known signal.
fn signal_name(number: i32) -> Option<&'static str> {
    nix::sys::signal::Signal::try_from(number).ok().map(nix::sys::signal::Signal::as_str)
}

/// Why a step never ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum SkipReason {
    /// A step that it depends on failed, was skipped or was canceled.
    DependencyFailed {
        /// That step.
        step: String,
    },
    /// The condition of this step (`type: if_else`) chose the other branch.
    BranchNotTaken {
        /// The step with the condition.
        step: String,
    },
    /// Another step failed and `continue_on_step_failure` is false.
    RunFailed {
        /// The step that failed first.
        step: String,
    },
    /// The run was canceled before the step started.
    RunCanceled,
    /// The step was canceled before it started.
    StepCanceled,
    /// `amlrun.toml` skips it (`policy = "skip"`).
    LeftOut,
    /// `--only`, `--from` or `--until` did not select it.
    NotChosen,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DependencyFailed { step } => write!(f, "it depends on '{step}', which did not complete"),
            Self::BranchNotTaken { step } => write!(f, "the condition '{step}' chose the other branch"),
            Self::RunFailed { step } => {
                write!(f, "'{step}' failed and settings.continue_on_step_failure is false")
            }
            Self::RunCanceled => f.write_str("the run was canceled before the step started"),
            Self::StepCanceled => f.write_str("it was canceled before it started"),
            Self::LeftOut => f.write_str("amlrun.toml skips it (policy \"skip\")"),
            Self::NotChosen => f.write_str("it was not selected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_sentences() {
        assert_eq!(Failure::ExitCode { code: 3 }.to_string(), "exit code 3");
        assert!(Failure::Signal { signal: 15 }.to_string().contains("SIGTERM"));
        assert!(Failure::ExitCode { code: 127 }.to_string().contains("command not found"));
        assert!(Failure::ExitCode { code: 143 }.to_string().contains("SIGTERM"));
        assert_eq!(Failure::ExitCode { code: 255 }.to_string(), "exit code 255");
        let failure = Box::new(Failure::ExitCode { code: 3 });
        assert_eq!(Failure::Process { process: "rank 1".into(), failure }.to_string(), "rank 1: exit code 3");
    }

    #[test]
    fn outcomes_survive_the_journal() {
        let of_rank = Failure::Process { process: "rank 1".into(), failure: Box::new(Failure::OutOfMemory) };
        for failure in [Failure::TimedOut { limit: Duration::from_secs(90) }, of_rank] {
            let outcome = StepOutcome::Failed { failure };
            let text = serde_json::to_string(&outcome).unwrap();
            assert_eq!(serde_json::from_str::<StepOutcome>(&text).unwrap(), outcome);
        }
    }

    #[test]
    fn old_journals_are_still_read() {
        let old = r#"{"outcome":"failed","failure":{"kind":"exit_code","code":127}}"#;
        let outcome = StepOutcome::Failed { failure: Failure::ExitCode { code: 127 } };
        assert_eq!(serde_json::from_str::<StepOutcome>(old).unwrap(), outcome);
    }
}
