//! The `amlrun` command. Everything is in the library; this file turns its result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    amlrun::cli::main()
}
