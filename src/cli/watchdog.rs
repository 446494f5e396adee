//! A hidden command that turns this process into the watchdog of a run (see `exec::watchdog`). The runner starts it.

use crate::exec;
use crate::exit_status::Exit;

/// End the processes of a run whose runner was killed.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Environment variable of the processes, as NAME=VALUE
    mark: String,
}

pub(super) fn watch_over(args: &Args) -> Exit {
    exec::watchdog::watch_over(&args.mark);
    Exit::Ok
}
