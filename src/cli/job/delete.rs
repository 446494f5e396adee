//! `job delete`: removes a run.

use crate::cli::printer::Printer;
use crate::error::Failed;
use crate::history::retention;
use crate::report::summary::shown;
use crate::runner::project::Project;

pub(super) fn delete(name: &str, project: &Project, printer: &Printer) -> Result<(), Failed> {
    for tree in retention::delete(&project.home(), name)? {
        printer.err(&format!("{} is kept: an asset or another run refers to it\n", shown(&tree)));
    }
    printer.out(&format!("{name}: deleted\n"));
    Ok(())
}
