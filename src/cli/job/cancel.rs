//! `job cancel`: stops a run, or one of its steps.

use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::history::cancel::{self, Canceled};
use crate::outcome::JobStatus;
use crate::runner::project::Project;

pub(super) fn cancel(name: &str, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let Canceled { job, status, orphans } = cancel::cancel(&project.home(), name)?;
    if let Some(count) = orphans {
        let what = if count == 1 { "process" } else { "processes" };
        printer.out(&format!("{job}: its runner was no longer running; ended {count} orphaned {what}\n"));
        return Ok(Exit::Ok);
    }
    printer.out(&format!("{job}: {status}\n"));
    Ok(if status == JobStatus::Canceled { Exit::Ok } else { Exit::Failed })
}
