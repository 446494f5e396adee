//! `amlrun logs`: what the steps of a run printed.

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use super::record;
use crate::diagnostic::suggest;

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
        let names = view.steps.iter().map(|s| s.path.as_str());
        let Some(found) = view.step(step) else {
            let failed = Failed::not_found(format!("the run '{}' has no step '{step}'", args.run));
            return Err(match suggest::nearest(step, names.clone()) {
                Some(near) => failed.hint(format!("did you mean '{near}'?")),
                None => failed.hint(format!("its steps are {}", names.collect::<Vec<_>>().join(", "))),
            });
        };
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
            Ok(bytes) => printer.bytes(&bytes),
            Err(error) => return Err(Failed::not_found(format!("cannot read {}: {error}", log.display()))),
        }
    }
    Ok(Exit::Ok)
}
