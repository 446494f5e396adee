//! `amlrun shell`: opens a shell with the working directory and environment of a step.

use std::sync::Arc;

use super::printer::Printer;
use super::run::view::OutputFormat;
use super::signals;
use crate::engine::{Workspace as _, inspect};
use crate::error::Failed;
use crate::event::Bus;
use crate::exec::process::LocalProcess;
use crate::exec::{Stop, spawn};
use crate::exit_status::Exit;
use crate::history::record;
use crate::outcome::{JobStatus, StepOutcome};
use crate::runner::options::RunOptions;
use crate::runner::project::Project;
use crate::runner::resume;
use crate::store::{RunFolder, at};

/// Open a shell in the working directory and environment of a step.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  amlrun shell RUN train\n\n\
    In the shell, 'again' runs the command of the step, and 'what' shows it. Changes to files are kept in the folder \
    of the run, except for changes to copies of inputs. They do not change the result of the step.")]
pub(super) struct Args {
    /// Name of the run, or the start of it
    run: String,

    /// Step of the run
    step: String,

    /// Run this command instead of an interactive shell, and return its exit code
    #[arg(short, long, value_name = "COMMAND")]
    command: Option<String>,
}

pub(super) fn shell(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    open(&args.run, &args.step, args.command.as_deref(), project, printer)
}

/// After a failure on a terminal, asks whether to open a shell in the failed step.
pub(super) fn offer(
    exit: Exit,
    folder: &RunFolder,
    view: OutputFormat,
    project: &Project,
    printer: &Printer,
) -> Result<Exit, Failed> {
    if exit != Exit::Failed || view != OutputFormat::Text || !printer.is_terminal() || !printer.can_ask() {
        return Ok(exit);
    }
    let run = record::view(folder)?;
    let failed = |step: &&crate::event::StepView| {
        step.status == JobStatus::Failed && step.begun && matches!(step.outcome, Some(StepOutcome::Failed { .. }))
    };
    let Some(step) = run.steps.iter().find(failed).map(|step| step.path.clone()) else { return Ok(exit) };
    if printer.ask(&format!("open a shell in the environment of the step '{step}'? [y/N] ")) {
        open(folder.name.as_str(), &step, None, project, printer)?;
    }
    Ok(exit)
}

fn open(run: &str, path: &str, once: Option<&str>, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let (session, index) = resume::look(run, path, &RunOptions::default(), project)?;
    let step = session.folder.step(path);
    let recorded = record::view(&session.folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failed::new(format!("cannot start the shell: {e}")))?;
    let bus = Arc::new(Bus::new(None));
    let (request, services, workspace) = {
        let _inside = runtime.enter();
        session.request(bus, Arc::new(LocalProcess::default()))?
    };
    let (_asking, stop) = tokio::sync::watch::channel(Stop::None);
    let scene = runtime.block_on(inspect::scene(index, &request, &services, stop)).map_err(Failed::new)?;
    let mut arguments: Vec<String> = Vec::new();
    match once {
        Some(command) => arguments.extend(["-c".to_owned(), command.to_owned()]),
        None => {
            let file = step.path.join("shell.bashrc");
            std::fs::write(&file, bashrc(run, path)).map_err(at("write", &file))?;
            printer.out(&format!("shell in the step '{path}' of {run}: 'again' runs its command, 'what' shows it\n"));
            arguments.extend(["--rcfile".to_owned(), file.display().to_string(), "-i".to_owned()]);
        }
    }
    let mut variables = scene.variables;
    variables.push(("AMLRUN_COMMAND".to_owned(), scene.command));
    let hearing = signals::leave_to_shell();
    let code = spawn::in_foreground("bash", &arguments, &scene.wd, &variables, &scene.hidden);
    let code = code.map_err(Failed::new)?;
    drop(hearing);
    // The job and its step were marked as running in MLflow while the shell was open. This restores their status.
    if let Some(was) = recorded.step(path) {
        let _ = workspace.end_step(path, &was.job, was.status);
    }
    runtime.block_on(workspace.close(recorded.status));
    Ok(match code {
        0 => Exit::Ok,
        _ if once.is_some() => Exit::Failed,
        _ => Exit::Ok,
    })
}

/// The startup file of an interactive shell: the user's own settings, and two commands for the step's command.
fn bashrc(run: &str, path: &str) -> String {
    format!(
        "[ -f ~/.bashrc ] && . ~/.bashrc\n\
         again() {{ bash -c \"$AMLRUN_COMMAND\"; }}\n\
         what() {{ printf '%s\\n' \"$AMLRUN_COMMAND\"; }}\n\
         history -s again\n\
         PS1='({run} {path}) \\w \\$ '\n"
    )
}
