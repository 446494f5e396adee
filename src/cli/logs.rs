//! `amlrun logs`: prints the output of a run's steps.

use std::io::Write as _;
use std::sync::mpsc::channel;

use super::printer::Printer;
use crate::again::amlrun;
use crate::diagnostic::visible::{sanitize, visible};
use crate::error::Failed;
use crate::event::{EventKind, Note, RunView, StepView};
use crate::exit_status::Exit;
use crate::history::find;
use crate::history::find::Job;
use crate::history::follow::follow;
use crate::history::record;
use crate::history::step_logs::{Finder, ProcessLog};
use crate::outcome::JobStatus;
use crate::report::plain;
use crate::runner::project::Project;
use crate::store::Home;

/// Print the logs of a run's steps.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun logs                          all steps of the last run\n  \
    amlrun logs brave_fox_1a2b3c4d5e train\n  \
    amlrun logs brave                    the start of a run's name is enough\n  \
    amlrun logs brave_fox_1a2b3c4d5e-train\n  \
    amlrun logs -f                       follow the run in progress\n  \
    amlrun logs RUN train --rank 1       one process of a distributed step\n\n\
    For a reused step, this is the log of the step that produced the result, even if its run was deleted.")]
pub(super) struct Args {
    /// Name of the run, the start of it, or the job name of a step [default: the last run]
    run: Option<String>,

    /// Step to print the log of [default: all steps]
    step: Option<String>,

    /// Rank of a process of a distributed step, from 0 [default: all processes]
    #[arg(long, value_name = "N")]
    rank: Option<usize>,

    /// Keep printing new output until the run or step ends
    #[arg(short, long, conflicts_with = "rank")]
    follow: bool,
}

pub(super) fn logs(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let home = project.home();
    let mut job = match &args.run {
        Some(name) => find::job(&home, name).map_err(|missing| hinted(missing, name, &home))?,
        None => {
            let run = find::last(&home)?;
            Job { view: record::view(&run)?, run, step: None }
        }
    };
    if let (Some(step), None) = (&args.step, &job.step) {
        job.step = Some(job.view.step(step).ok_or_else(|| record::no_step(&job.view, step))?.path.clone());
    } else if let (Some(step), Some(path)) = (&args.step, &job.step) {
        return Err(Failed::usage(format!("the job name already includes the step '{path}': remove '{step}'")));
    }
    let mut finder = Finder::new(home);
    if args.follow && !job.view.status.is_final() {
        return follow_job(&job, printer);
    }
    if let Some(step) = job.step() {
        return print_step(&job.view, step, args, &mut finder, printer).map(|()| Exit::Ok);
    }
    if let Some(rank) = args.rank {
        return Err(Failed::usage(format!(
            "--rank {rank} needs a step: {}",
            amlrun(&format!("logs {} STEP --rank {rank}", job.view.run))
        )));
    }
    for step in &job.view.steps {
        // Steps that never ran are left out when all steps are shown.
        if let Ok(logs) = finder.of(&job.view, step) {
            let from = logs.made_by.map(|job| format!(" (reused from {job})")).unwrap_or_default();
            for log in &logs.files {
                let process = log.process.as_ref().map(|process| format!(", {process}")).unwrap_or_default();
                printer.out(&format!("==> {}{process}{from} <==\n", step.path));
                print(log, printer)?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// Adds a hint: a step without a run means a step of the last run.
fn hinted(missing: Failed, name: &str, home: &Home) -> Failed {
    let last = find::last(home).and_then(|run| record::view(&run));
    match last {
        Ok(view) if view.step(name).is_some() => missing.hint(format!(
            "to see the step '{name}' of the last run: {}",
            amlrun(&format!("logs {} {name}", view.run))
        )),
        _ => missing,
    }
}

fn print_step(
    view: &RunView,
    step: &StepView,
    args: &Args,
    finder: &mut Finder,
    printer: &Printer,
) -> Result<(), Failed> {
    let logs = finder.of(view, step)?;
    if let Some(job) = &logs.made_by {
        printer.err(&format!("note: '{}' was reused: this is the log of {job}\n", step.path));
    }
    if let Some(rank) = args.rank {
        let Some(log) = logs.files.get(rank) else {
            let message = match logs.files.len() {
                1 => format!("the step '{}' has one log for all its processes", step.path),
                count => format!("the step '{}' has no process {rank}: use 0 to {}", step.path, count - 1),
            };
            return Err(Failed::not_found(message));
        };
        return print(log, printer);
    }
    let several = logs.files.len() > 1;
    for log in &logs.files {
        if let (true, Some(process)) = (several, &log.process) {
            printer.out(&format!("==> {}, {process} <==\n", step.path));
        }
        print(log, printer)?;
    }
    Ok(())
}

fn print(log: &ProcessLog, printer: &Printer) -> Result<(), Failed> {
    match std::fs::read(&log.path) {
        Ok(bytes) => printer.printed(&bytes),
        // A step that printed nothing has no log.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failed::not_found(format!("cannot read {}: {error}", log.path.display()))),
    }
    Ok(())
}

/// Prints the past and future output of a run or one of its steps until it is over.
fn follow_job(job: &Job, printer: &Printer) -> Result<Exit, Failed> {
    let (sender, receiver) = channel::<Note>();
    let wanted = job.step.clone();
    let (mut out, paint) = (printer.stream(), printer.paint());
    let drawing = std::thread::spawn(move || {
        let mut view = RunView::default();
        for note in receiver {
            let text = match note {
                Note::Event(event) => {
                    view.apply(&event);
                    match (&event.what, &wanted) {
                        (EventKind::StepFinished { step, .. } | EventKind::StepReused { step, .. }, Some(one))
                            if step == one =>
                        {
                            break;
                        }
                        _ => continue,
                    }
                }
                Note::Line { step, text } => match &wanted {
                    None => plain::line(&view, &step, &text, paint),
                    Some(one) if *one == step => format!("{}\n", sanitize(&text)),
                    Some(_) => continue,
                },
                Note::Past(_) | Note::Moving(_) | Note::Progress { .. } => continue,
            };
            if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
                break;
            }
        }
    });
    let followed = follow(&job.run, &sender);
    drop(sender);
    let _ = drawing.join();
    followed.map_err(|error| Failed::new(format!("cannot follow run '{}': {error}", job.run.name)))?;
    let view = record::view(&job.run)?;
    let status = job.step.as_ref().and_then(|path| view.step(path)).map_or(view.status, |step| step.status);
    if let Some(step) = &job.step {
        printer.err(&format!("{}: {status}\n", visible(step)));
    }
    Ok(if status == JobStatus::Completed { Exit::Ok } else { Exit::Failed })
}
