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
    0    done; for 'run', every step completed\n  \
    1    a step failed, a file was refused, or something could not be done\n  \
    2    the command line is wrong\n  \
    3    a file, run, step or model is not there\n  \
    70   internal error: please report it\n  \
    129  stopped by the terminal closing (SIGHUP)\n  \
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
