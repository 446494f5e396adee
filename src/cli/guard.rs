//! The hidden verb that makes this program the guard of a run (see `exec::guard`); nobody types it.

use super::exit::Exit;
use crate::exec;

/// Ends what a run leaves whose runner is killed; started by the runner itself.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The variable, as NAME=value, that the processes have
    mark: String,
}

pub(super) fn guard(args: &Args) -> Exit {
    exec::guard::guard(&args.mark);
    Exit::Ok
}
