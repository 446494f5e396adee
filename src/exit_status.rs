//! Exit codes, and the table of them in `amlrun --help`.

use std::process::ExitCode;

/// The exit code of `amlrun`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Failed,
    Usage,
    NotFound,
    Internal,
    HungUp,
    Interrupted,
    Terminated,
}

/// The table for `--help`.
pub(crate) const TABLE: &str = "Exit codes:\n  \
    0    success; for 'run', all steps completed\n  \
    1    a step failed, a file was refused, or the command failed\n  \
    2    the command line is invalid\n  \
    3    a file, run, step or asset was not found\n  \
    70   internal error: please report it\n  \
    129  stopped because the terminal closed (SIGHUP)\n  \
    130  stopped by Ctrl-C (SIGINT)\n  \
    143  stopped by SIGTERM";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Internal => 70,
            Exit::HungUp => 129,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        })
    }
}
