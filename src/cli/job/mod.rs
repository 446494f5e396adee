//! `amlrun job …`: runs with the commands of `az ml job`.

mod cancel;
mod delete;
mod download;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::channel;

use clap::Subcommand;

use self::download::Download;
use crate::cli::format::Format;
use crate::cli::printer::Printer;
use crate::cli::run::options::{RunArguments, to_args};
use crate::cli::run::view::{self, OutputFormat};
use crate::config::Config;
use crate::error::Failed;
use crate::event::{Note, RunView};
use crate::exec::spawn;
use crate::exit_status::Exit;
use crate::history::find::Job;
use crate::history::follow::follow;
use crate::history::record;
use crate::history::{find, retention};
use crate::id::RunName;
use crate::language::Kind;
use crate::outcome::JobStatus;
use crate::render::job::{brief, show, show_job};
use crate::report::plain;
use crate::runner::project::Project;
use crate::runner::session::RunSession;
use crate::store::RunFolder;

/// Manage runs, like 'az ml job'
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Run a job file in the background and print the job
    #[command(after_help = "Examples:\n  \
        amlrun job create -f pipeline.yml --stream\n  \
        run=$(amlrun job create -f pipeline.yml --query name -o tsv)\n  \
        amlrun job stream -n $run\n  \
        amlrun job create -f pipeline.yml --dry-run       print the request body for Azure ML")]
    Create(Create),
    /// Archive a run: hide it from lists and keep its files
    Archive {
        #[command(flatten)]
        run: Named,
    },
    /// Restore an archived run
    Restore {
        #[command(flatten)]
        run: Named,
    },
    /// Delete a run and the outputs that nothing else refers to
    Delete {
        #[command(flatten)]
        run: Named,
    },
    /// List the runs of this workspace, newest first
    List {
        /// Include archived runs
        #[arg(long)]
        include_archived: bool,
        /// List archived runs only
        #[arg(long, conflicts_with = "include_archived")]
        archived_only: bool,
        /// Maximum number of runs to list [default: all]
        #[arg(short = 'r', long, value_name = "N")]
        max_results: Option<usize>,
        #[command(flatten)]
        format: Format,
    },
    /// Show the status, steps and outputs of a run or step
    #[command(after_help = "Example:\n  amlrun job show -n RUN --query status -o tsv")]
    Show {
        #[command(flatten)]
        run: Named,
        #[command(flatten)]
        format: Format,
    },
    /// Show the progress of a run until it ends
    Stream {
        #[command(flatten)]
        run: Named,
    },
    /// Cancel a run or one of its steps
    #[command(
        after_help = "Examples:\n  amlrun job cancel -n RUN\n  amlrun job cancel -n RUN-train      cancel one step\n\n\
        Processes receive SIGTERM, and SIGKILL after the grace period of the run."
    )]
    Cancel {
        #[command(flatten)]
        run: Named,
    },
    Download(Download),
}

/// Which run.
#[derive(clap::Args)]
pub(super) struct Named {
    /// Name of the run or the start of it; for 'show' and 'cancel' also the job name of a step, RUN-STEP
    #[arg(short, long)]
    name: String,
}

/// What `job create` takes.
#[derive(clap::Args)]
pub(super) struct Create {
    /// YAML file of the job
    #[arg(short, long)]
    file: PathBuf,

    /// Wait for the run to end and show its progress
    #[arg(short, long)]
    stream: bool,

    /// Print the request body that Azure ML's SDK would send, without running anything
    #[arg(long, conflicts_with = "stream")]
    dry_run: bool,

    #[command(flatten)]
    run: RunArguments,

    #[command(flatten)]
    format: Format,
}

pub(super) fn execute(verb: Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    match verb {
        Verb::Create(create) => self::create(&create, project, printer),
        Verb::Archive { run } => archive(&run.name, true, project, printer),
        Verb::Restore { run } => archive(&run.name, false, project, printer),
        Verb::Delete { run } => delete::delete(&run.name, project, printer).map(|()| Exit::Ok),
        Verb::List { max_results, include_archived, archived_only, format } => {
            let shown = |archived: bool| include_archived || archived == archived_only;
            list(max_results, &shown, &format, project, printer)
        }
        Verb::Show { run, format } => {
            format.check()?;
            format.print(show_job(&find::job(&project.home(), &run.name)?), printer)?;
            Ok(Exit::Ok)
        }
        Verb::Stream { run } => {
            let run = find::run(&project.home(), &run.name)?;
            stream(&run, printer)
        }
        Verb::Cancel { run } => cancel::cancel(&run.name, project, printer),
        Verb::Download(download) => download::download(&download, project, printer).map(|()| Exit::Ok),
    }
}

fn create(create: &Create, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    create.format.check()?;
    if create.dry_run {
        let body = crate::cli::component::rest_body(&create.file, &create.run.set, Kind::Job, printer)?;
        create.format.print(body, printer)?;
        return Ok(Exit::Ok);
    }
    if create.stream {
        let session = RunSession::new(&create.file, &create.run.options(), project)?;
        let (exit, run) = view::run(session, OutputFormat::Aside, create.run.quiet, printer)?;
        let job = Job { view: record::view(&run)?, run, step: None };
        create.format.print(show_job(&job), printer)?;
        return Ok(exit);
    }
    // Errors are reported here, where the user sees them. Then a background runner takes over.
    let config = Config::near(create.file.parent().unwrap_or(&create.file))?;
    project.accepted(&create.file, &create.run.set, &config)?;
    if let Some(name) = &create.run.name {
        RunName::parse(name).map_err(|e| Failed::usage(e.to_string()))?;
    }
    let first = spawn::detach(&in_background(create, project)).map_err(Failed::new)?;
    let event: crate::event::Event =
        serde_json::from_str(&first).map_err(|_| Failed::new(format!("the run did not start: {}", first.trim())))?;
    create.format.print(show(&RunView::of([&event]), None), printer)?;
    Ok(Exit::Ok)
}

/// The command line of a background runner, with all options of the run.
fn in_background(create: &Create, project: &Project) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["run".into(), create.file.clone().into_os_string()].into();
    words.extend(["--output".into(), "jsonl".into(), "--quiet".into()]);
    words.extend(to_args(&create.run.options()));
    words.extend(["--home".into(), project.home_of(&create.file).root().as_os_str().to_owned()]);
    words
}

fn archive(name: &str, yes: bool, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let run = find::run(&project.home(), name)?;
    retention::archive(&run, yes)?;
    printer.out(&format!("{}: {}\n", run.name, if yes { "archived" } else { "restored" }));
    Ok(Exit::Ok)
}

fn list(
    max: Option<usize>,
    shown: &dyn Fn(bool) -> bool,
    format: &Format,
    project: &Project,
    printer: &Printer,
) -> Result<Exit, Failed> {
    format.check()?;
    // A folder without a readable record belongs to a run that never started.
    let mut views: Vec<RunView> = project
        .home()
        .runs()?
        .iter()
        .filter(|run| shown(retention::is_archived(run)))
        .filter_map(|run| record::view(run).ok())
        .filter(|v| v.started.is_some())
        .collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.started));
    let rows = views.iter().take(max.unwrap_or(usize::MAX)).map(brief).collect();
    format.print(serde_json::Value::Array(rows), printer)?;
    Ok(Exit::Ok)
}

fn stream(run: &RunFolder, printer: &Printer) -> Result<Exit, Failed> {
    let (sender, receiver) = channel::<Note>();
    let (out, paint) = (printer.stream(), printer.paint());
    let drawing = std::thread::spawn(move || plain::draw(receiver, out, paint, false));
    let followed = follow(run, &sender);
    drop(sender);
    let _ = drawing.join();
    let over = followed.map_err(|e| Failed::new(format!("cannot follow run '{}': {e}", run.name)))?;
    let view = record::view(run)?;
    if !over {
        printer.err(&format!("the runner of '{}' exited without recording how the run ended\n", run.name));
    }
    Ok(if view.status == JobStatus::Completed { Exit::Ok } else { Exit::Failed })
}
