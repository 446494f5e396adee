//! `run --watch`: runs a job again whenever something that it reads changes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};

use super::options::RunArguments;
use super::view::{self, OutputFormat};
use crate::cli::printer::Printer;
use crate::config::{Config, FILE};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::plan::{Part, Plan};
use crate::runner::project::Project;
use crate::runner::session::RunSession;

/// Editors write a file in several steps: a run starts when there were no changes for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Runs until the user stops it. Errors in a file are shown, and the file is read again when it changes.
pub(super) fn watch(
    file: &Path,
    run: &RunArguments,
    view: OutputFormat,
    project: &Project,
    printer: &Printer,
) -> Result<Exit, Failed> {
    let workspace = project.home_of(file).root().to_owned();
    let (sender, changes) = channel();
    let broken = |e: notify::Error| Failed::new(format!("cannot watch for changes: {e}"));
    loop {
        // Watched before the run: changes during a run start another one.
        let watched = watched(file, run, project);
        let sender = sender.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && !event.kind.is_access()
            {
                let _ = sender.send(event.paths);
            }
        })
        .map_err(broken)?;
        for place in &watched.places {
            let mode = if place.is_dir() { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            // Editors may replace a file, so its folder is watched.
            let place = if place.is_dir() { place.as_path() } else { place.parent().unwrap_or(place) };
            watcher.watch(place, mode).map_err(broken)?;
        }
        let session = RunSession::new(file, &run.options(), project);
        let ended = session.and_then(|session| view::run(session, view, run.quiet, printer));
        match ended {
            Ok((exit @ (Exit::Interrupted | Exit::Terminated | Exit::HungUp), _)) => return Ok(exit),
            Ok(_) => {}
            Err(failed) => drop(printer.failed(&failed)),
        }
        printer.out("watching for changes; press Ctrl-C to stop\n");
        let Some(changed) = next(&changes, &watched, &workspace) else { return Ok(Exit::Ok) };
        printer.out(&format!("{} changed\n", crate::report::summary::shown(&changed)));
    }
}

/// The files that a run reads.
struct Watched {
    places: HashSet<PathBuf>,
}

impl Watched {
    fn holds(&self, path: &Path) -> bool {
        self.places.iter().any(|place| path.starts_with(place))
    }
}

/// The job file, the files that it names, code and local inputs. If the file has errors, as many of them as could be
/// found.
fn watched(file: &Path, run: &RunArguments, project: &Project) -> Watched {
    // A mistake in amlrun.toml is reported when something runs.
    let config = Config::near(file.parent().unwrap_or(file)).unwrap_or_default();
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut places = HashSet::from([absolute(file)]);
    if !config.folder().as_os_str().is_empty() {
        places.insert(config.folder().join(FILE));
    }
    let (loaded, plan) = project.plan(file, &run.set, &config);
    places.extend(loaded.sources.paths().map(absolute));
    if let Some(plan) = plan {
        places.extend(inputs(&plan));
    }
    Watched { places }
}

fn inputs(plan: &Plan) -> HashSet<PathBuf> {
    let mut all = HashSet::new();
    for step in plan.all_steps() {
        if let Some(code) = step.command().and_then(|command| command.code.as_ref()) {
            all.extend(code.root.iter().chain(&code.includes).cloned());
        }
        all.extend(step.values().flat_map(|value| &value.parts).filter_map(|part| match part {
            Part::Path(path) => Some(path.clone()),
            _ => None,
        }));
    }
    all
}

/// Waits for a change, and until there are no more changes. The workspace's own files do not count.
fn next(changes: &Receiver<Vec<PathBuf>>, watched: &Watched, workspace: &Path) -> Option<PathBuf> {
    let counts = |paths: Vec<PathBuf>| paths.into_iter().find(|p| watched.holds(p) && !p.starts_with(workspace));
    let first = loop {
        if let Some(path) = counts(changes.recv().ok()?) {
            break path;
        }
    };
    loop {
        match changes.recv_timeout(QUIET) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Some(first),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}
