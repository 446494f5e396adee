//! How a job stands and how a step ended, as values.
//!
//! A failed step is not an error of ours: it is an answer. Errors (`thiserror` enums, one a module) are for
//! surroundings that broke. The status words are Azure ML's own, so that scripts need not change.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The status of a job or step, in Azure ML's words (reference, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobStatus {
    /// Waits for the steps before it.
    NotStarted,
    /// Its inputs and code are being laid out.
    Preparing,
    /// It is ready and waits for a place.
    Queued,
    /// Its process runs.
    Running,
    /// Its process ended; outputs are being sealed and registered.
    Finalizing,
    /// Somebody asked for the run to stop; its processes are still ending.
    CancelRequested,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Stopped on request, timed out, or never started because the run ended before.
    Canceled,
    /// The runner died before it could write how the run ended.
    NotResponding,
}

impl JobStatus {
    /// Whether nothing will change any more.
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

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum StepOutcome {
    /// Its process ended with 0 and everything it declared is there.
    Completed,
    /// It ran, or tried to, and failed.
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
            // The service cancels a job whose time is over (reference, section 7.1).
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
    /// The process ended with a code other than 0.
    ExitCode {
        /// That code.
        code: i32,
    },
    /// The shell ended with 127 and said which command it did not find.
    CommandNotFound {
        /// That command.
        command: String,
    },
    /// The kernel killed the process, or one of its own, because memory was short.
    OutOfMemory,
    /// A signal ended the process.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// `limits.timeout` ran out and the process was stopped.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The process ended with 0 but did not write an output that it declares.
    MissingOutput {
        /// The output's name.
        output: String,
    },
    /// While it ran, a file changed that it was given to read.
    InputModified {
        /// The input's name.
        input: String,
        /// The file, as the input names it.
        file: String,
    },
    /// It ended with 0, but its outputs could not be kept because the disk is full.
    DiskFull {
        /// Where.
        path: String,
    },
    /// One of its several processes failed, and the others were stopped.
    Process {
        /// Which, such as `rank 1`.
        process: String,
        /// How.
        failure: Box<Failure>,
    },
    /// The step could not be laid out or started, or its outputs could not be kept.
    #[serde(alias = "surroundings")]
    Other {
        /// The whole story, with the path it happened at.
        message: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExitCode { code: 127 } => {
                f.write_str("exit code 127 (the shell did not find the command: is it installed and on PATH?)")
            }
            Self::ExitCode { code: 126 } => f.write_str("exit code 126 (the command is there but is not executable)"),
            Self::ExitCode { code: 137 } => f.write_str(
                "exit code 137 (a process that it started was killed by SIGKILL: often the system being out of memory)",
            ),
            Self::ExitCode { code } => match signal_name(code - 128) {
                Some(name) => write!(
                    f,
                    "exit code {code} (128 + {}: a process that it started was probably ended by {name})",
                    code - 128
                ),
                None => write!(f, "exit code {code}"),
            },
            Self::CommandNotFound { command } => {
                write!(f, "exit code 127: the shell did not find '{command}' (is it installed and on PATH?)")
            }
            Self::OutOfMemory => {
                f.write_str("killed by signal 9 (SIGKILL): the system was out of memory, as the kernel tells")
            }
            Self::Signal { signal: 9 } => {
                f.write_str("killed by signal 9 (SIGKILL: often the system being out of memory)")
            }
            Self::Signal { signal } => match signal_name(*signal) {
                Some(name) => write!(f, "killed by signal {signal} ({name})"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::TimedOut { limit } => write!(f, "stopped after limits.timeout of {} s", limit.as_secs()),
            Self::MissingOutput { output } => {
                write!(f, "ended with exit code 0, but did not write its output '{output}'")
            }
            Self::InputModified { input, file } => {
                write!(
                    f,
                    "its input '{input}' changed while it ran: {file} (inputs are for reading: write to an output)"
                )
            }
            Self::DiskFull { path } => {
                write!(f, "ended with exit code 0, but its outputs cannot be kept: the disk is full ({path})")
            }
            Self::Process { process, failure } => write!(f, "{process}: {failure}"),
            Self::Other { message } => f.write_str(message),
        }
    }
}

/// The name of a signal; none for numbers that are no signal.
fn signal_name(number: i32) -> Option<&'static str> {
    nix::sys::signal::Signal::try_from(number).ok().map(nix::sys::signal::Signal::as_str)
}

/// Why a step never ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum SkipReason {
    /// A step that it needs failed, was skipped or was canceled.
    DependencyFailed {
        /// That step.
        step: String,
    },
    /// Another step failed and `continue_on_step_failure` is false.
    RunFailed {
        /// The step that failed first.
        step: String,
    },
    /// The run was canceled before its turn came.
    RunCanceled,
    /// It alone was canceled before its turn came.
    StepCanceled,
    /// The project's `amlrun.toml` leaves it out (`policy = "skip"`).
    LeftOut,
    /// `--only`, `--from` or `--until` did not take it.
    NotChosen,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DependencyFailed { step } => write!(f, "needs '{step}', which did not complete"),
            Self::RunFailed { step } => {
                write!(f, "'{step}' failed and settings.continue_on_step_failure is false")
            }
            Self::RunCanceled => f.write_str("the run was canceled before its turn came"),
            Self::StepCanceled => f.write_str("it was canceled before its turn came"),
            Self::LeftOut => f.write_str("amlrun.toml leaves it out (policy \"skip\")"),
            Self::NotChosen => f.write_str("it was not asked for"),
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
        assert!(Failure::ExitCode { code: 127 }.to_string().contains("not find the command"));
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
