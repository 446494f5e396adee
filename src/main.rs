//! The `amlrun` command: everything is in the library; this file turns its answer into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    amlrun::cli::main()
}
