//! A hidden command that turns this process into the watchdog of a run (see `exec::watchdog`). The runner starts it.

use crate::exec;
use crate::exit_status::Exit;

/// Ends what a run leaves whose runner is killed; started by the runner itself.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The variable, as NAME=value, that the processes have
    mark: String,
}

pub(super) fn watch_over(args: &Args) -> Exit {
    exec::watchdog::watch_over(&args.mark);
    Exit::Ok
}
