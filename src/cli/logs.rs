//! `amlrun logs`: what the steps of a run printed.

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use super::record;

/// Print what the steps of a run printed.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  amlrun logs brave_fox_1a2b3c4d5e train\n  amlrun logs brave_fox_1a2b3c4d5e")]
pub(super) struct Args {
    /// The run
    run: String,

    /// The step; all of them, one after the other, when left out
    step: Option<String>,
}

pub(super) fn logs(args: &Args, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let run = context.home().find_run(&args.run)?;
    let view = record::view(&run)?;
    if let Some(step) = &args.step {
        let found = view.step(step).ok_or_else(|| record::no_step(&view, step))?;
        if let Some(job) = &found.reused_from {
            return Err(Failed::not_found(format!("the step '{step}' did not run: it was reused from {job}")));
        }
        if found.log.is_none() {
            return Err(Failed::not_found(format!("the step '{step}' never started: it has no log")));
        }
    }
    let wanted = view.steps.iter().filter(|s| args.step.as_ref().is_none_or(|step| s.path == *step));
    for step in wanted {
        let Some(log) = &step.log else { continue };
        if args.step.is_none() {
            printer.out(&format!("==> {} <==\n", step.path));
        }
        match std::fs::read(log) {
            Ok(bytes) => printer.printed(&bytes),
            // A step that printed nothing has no log.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failed::not_found(format!("cannot read {}: {error}", log.display()))),
        }
    }
    Ok(Exit::Ok)
}
