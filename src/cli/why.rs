//! `amlrun why`: shows after a run why each step ran or was reused.

use serde_json::Value;

use super::format::TextOr;
use super::plan::entry;
use super::printer::Printer;
use crate::error::Failed;
use crate::event::StepView;
use crate::exit_status::Exit;
use crate::history::find;
use crate::history::record;
use crate::outcome::{JobStatus, StepOutcome};
use crate::report::style::wrapped;
use crate::report::summary::stubbed;
use crate::runner::project::Project;

/// Explain why a step ran or why its earlier result was reused.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  amlrun why RUN train\n  amlrun why RUN -o json")]
pub(super) struct Args {
    /// Name of the run, or the start of it
    run: String,

    /// Step of the run [default: all steps]
    step: Option<String>,

    #[command(flatten)]
    format: TextOr,
}

pub(super) fn why(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let run = find::run(&project.home(), &args.run)?;
    let view = record::view(&run)?;
    let steps: Vec<&StepView> = match &args.step {
        Some(path) => vec![view.step(path).ok_or_else(|| record::no_step(&view, path))?],
        None => view.steps.iter().collect(),
    };
    match args.format.asked() {
        Some(format) => {
            let one = |step: &&StepView| {
                entry(&step.path, step.reused_from.is_none(), step.substitute.as_deref(), &step.because)
            };
            let answers: Vec<Value> = steps.iter().filter(|s| s.begun || s.reused_from.is_some()).map(one).collect();
            let single = args.step.is_some().then(|| answers.first().cloned()).flatten();
            format.print(single.unwrap_or(Value::Array(answers)), printer)?;
        }
        None => steps.iter().for_each(|step| printer.out(&lines(&sentences(step), printer.width()))),
    }
    Ok(Exit::Ok)
}

fn lines(text: &str, width: Option<usize>) -> String {
    text.lines().map(|line| format!("{}\n", wrapped(line, 4, width))).collect()
}

fn sentences(step: &StepView) -> String {
    let name = &step.path;
    if let (Some("replay"), Some(job)) = (step.substitute.as_deref(), &step.reused_from) {
        return format!("{name} did not run: its outputs are those of {job} (policy \"replay\" in amlrun.toml)\n");
    }
    if step.substitute.as_deref() == Some("stub") && step.status == JobStatus::Completed {
        let earlier = step.reused_from.as_ref().map(|job| format!(", the same as for {job}")).unwrap_or_default();
        let stubbed = stubbed(step);
        return format!("{name} did not run: {stubbed} (policy \"stub\" in amlrun.toml){earlier}\n");
    }
    if let Some(job) = &step.reused_from {
        let mut text = format!("{name} was reused: command, code, inputs and environment are the same as for {job}\n");
        step.because.iter().for_each(|because| text.push_str(&format!("  {because}, but has the same content\n")));
        return text;
    }
    if let Some(StepOutcome::Skipped { reason }) = &step.outcome {
        return format!("{name} did not run: {reason}\n");
    }
    if !step.begun {
        return format!("{name} has not run yet\n");
    }
    match step.because.as_slice() {
        [] => format!("{name} ran\n"),
        [one] => format!("{name} ran because {one}\n"),
        many => {
            let mut text = format!("{name} ran because\n");
            many.iter().for_each(|because| text.push_str(&format!("  {because}\n")));
            text
        }
    }
}
