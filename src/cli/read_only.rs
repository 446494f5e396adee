//! A hidden command that mounts the inputs of a step read-only and becomes the step's command (see `exec::read_only`).
//! The runner starts it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Failed;
use crate::exec;
use crate::exit_status::Exit;

/// Runs a program that cannot write to some paths; started by the runner itself.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A path that it can only read
    #[arg(long = "path")]
    paths: Vec<PathBuf>,
    /// The program and its arguments; without one it is only tried whether the mounts can be made
    #[arg(last = true)]
    program: Vec<OsString>,
}

pub(super) fn read_only(args: &Args) -> Result<Exit, Failed> {
    exec::read_only::run(&args.paths, &args.program).map(|()| Exit::Ok).map_err(Failed::new)
}
