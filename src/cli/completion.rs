//! `amlrun completion`: prints shell completions.

use clap_complete::Shell;

use super::printer::Printer;
use crate::exit_status::Exit;

/// Print the completion script for a shell.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun completion bash > ~/.local/share/bash-completion/completions/amlrun\n  \
    amlrun completion zsh > ~/.zfunc/_amlrun")]
pub(super) struct Args {
    /// Shell to print the script for
    shell: Shell,
}

pub(super) fn print(args: &Args, mut command: clap::Command, printer: &Printer) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "amlrun", &mut text);
    printer.bytes(&text);
    Exit::Ok
}
