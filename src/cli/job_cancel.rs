//! `amlrun job cancel`: a run, or one of its steps, is asked to stop, and waited for.

use std::time::{Duration, Instant};

use super::printer::Printer;
use crate::error::Failed;
use crate::event::RunView;
use crate::exec::signal;
use crate::exit_status::Exit;
use crate::history::find;
use crate::history::record;
use crate::outcome::JobStatus;
use crate::runner::project::Project;
use crate::store::RunFolder;

/// How long a runner may take to record which process it is.
const BEGINS: Duration = Duration::from_secs(10);
/// How long it may take to end beyond the time that its steps have.
const ENDS: Duration = Duration::from_secs(60);
/// How often to look.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn cancel(name: &str, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let job = find::job(&project.home(), name)?;
    match job.step {
        None => run(&job.run, printer),
        Some(path) => step(&job.run, &path, printer),
    }
}

fn run(run: &RunFolder, printer: &Printer) -> Result<Exit, Failed> {
    let view = begun(run)?;
    if view.status == JobStatus::NotResponding {
        let (name, folder) = run.marker();
        let left = signal::end_orphans(&format!("{name}={folder}"));
        let what = if left == 1 { "process" } else { "processes" };
        printer.out(&format!("{}: its runner is gone; ended {left} {what} that it left\n", run.name));
        return Ok(Exit::Ok);
    }
    if view.status.is_final() {
        return Err(Failed::new(format!("the run '{}' is over: it is {}", run.name, view.status)));
    }
    signal::terminate(view.pid).map_err(Failed::new)?;
    // The runner holds a lock on the record as long as it lives.
    wait(run, &view, printer, &|| Ok(!run.is_live()))?;
    let status = record::view(run)?.status;
    printer.out(&format!("{}: {status}\n", run.name));
    Ok(if status == JobStatus::Canceled { Exit::Ok } else { Exit::Failed })
}

fn step(run: &RunFolder, path: &str, printer: &Printer) -> Result<Exit, Failed> {
    let view = begun(run)?;
    let of = |view: &RunView| view.step(path).map_or(view.status, |step| step.status);
    let job = view.step(path).map(|step| step.job.clone()).unwrap_or_default();
    if of(&view).is_final() || view.status.is_final() {
        return Err(Failed::new(format!("the step '{path}' of '{}' is over: it is {}", run.name, of(&view))));
    }
    run.request_cancel(&job)?;
    signal::call(view.pid).map_err(Failed::new)?;
    wait(run, &view, printer, &|| Ok(of(&record::view(run)?).is_final()))?;
    let status = of(&record::view(run)?);
    printer.out(&format!("{job}: {status}\n"));
    Ok(if status == JobStatus::Canceled { Exit::Ok } else { Exit::Failed })
}

/// The run, once its runner has recorded which process it is.
fn begun(run: &RunFolder) -> Result<RunView, Failed> {
    let mut view = record::view(run)?;
    let since = Instant::now();
    while view.pid == 0 && run.is_live() {
        if since.elapsed() > BEGINS {
            let message = format!("the runner of '{}' lives, and has not recorded which process it is", run.name);
            return Err(Failed::new(message).hint("is it stopped? Wake or end that process, then try again"));
        }
        std::thread::sleep(LOOK);
        view = record::view(run)?;
    }
    Ok(view)
}

/// Waits until it is over, as long as the steps may take to end. A runner that was stopped is woken.
fn wait(
    run: &RunFolder,
    view: &RunView,
    printer: &Printer,
    over: &dyn Fn() -> Result<bool, Failed>,
) -> Result<(), Failed> {
    let limit = ENDS + Duration::from_secs(view.grace);
    let (since, mut woken) = (Instant::now(), false);
    while !over()? {
        if signal::is_stopped(view.pid) {
            if !woken {
                printer.err(&format!("{}: its runner is stopped (SIGSTOP): it is woken to end its steps\n", run.name));
            }
            woken = true;
            signal::wake(view.pid);
        }
        if since.elapsed() > limit {
            let message =
                format!("the runner of '{}' was asked to end and has not after {} s", run.name, limit.as_secs());
            return Err(Failed::new(message).hint("the same command again ends its steps at once"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
