//! `amlrun environment build`: builds environments before a run needs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::shown;
use crate::cli::asset::Which;
use crate::cli::format::TextOr;
use crate::cli::printer::Printer;
use crate::cli::signals::{self, StoppedBy};
use crate::clock::human_duration;
use crate::config::Config;
use crate::environment::managed::BuildError;
use crate::environment::managed::build::{self, BuildObserver};
use crate::environment::managed::store::Ready;
use crate::environment::resolve::{Managed, Policy, Resolution};
use crate::error::Failed;
use crate::event::Bus;
use crate::exec::Stop;
use crate::exec::process::LocalProcess;
use crate::exit_status::Exit;
use crate::registry::EnvironmentStore;
use crate::runner::environments;
use crate::runner::project::Project;
use crate::spec::environment::Environment;
use crate::store::Home;

/// What `environment build` takes.
#[derive(clap::Args)]
pub(in crate::cli) struct Build {
    /// Name of a registered or curated environment
    #[arg(short, long, required_unless_present = "file", conflicts_with = "file")]
    name: Option<String>,

    /// Version of the registered environment [default: the latest]
    #[arg(short, long, requires = "name")]
    version: Option<String>,

    /// A conda file, an environment file, or a job file with environments
    #[arg(short, long)]
    file: Option<PathBuf>,

    #[command(flatten)]
    format: TextOr,
}

impl Build {
    /// Builds them one after the other, and prints what they contain.
    pub(super) fn run(&self, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
        if let Some(format) = self.format.asked() {
            format.check()?;
        }
        let file = self.file.as_deref();
        let (home, near) = match file {
            Some(file) => (project.home_of(file), file.parent().unwrap_or(Path::new(""))),
            None => (project.home(), Path::new("")),
        };
        let config = Config::near(near)?.with_environments(Some(Policy::Managed), None);
        let all = environments::of(&home, &config);
        let wanted = match (file, &self.name) {
            (Some(file), _) => environments::named_in(file, project, &config)?,
            (None, name) => vec![self.by_name(name.as_deref().unwrap_or_default(), &home)?],
        };
        let mut found: Vec<Managed> = Vec::new();
        for environment in &wanted {
            match &*all.resolve(Some(environment)).map_err(Failed::new)? {
                Resolution::Managed(managed) if found.iter().all(|known| known.digest != managed.digest) => {
                    found.push((**managed).clone());
                }
                Resolution::Managed(_) => {}
                Resolution::Container(container) => {
                    let name = &container.name;
                    printer
                        .err(&format!("note: nothing to build: the image of '{name}' is made when a run needs it\n"));
                }
                Resolution::Host(why) => printer.err(&format!("note: nothing to build: {why}\n")),
            }
        }
        let store = all.store.as_ref().ok_or_else(|| Failed::new("environments cannot be built: HOME is not set"))?;
        let (ask, stop) = watch::channel(Stop::None);
        let stopped_by = StoppedBy::default();
        let _hearing = signals::hear(ask, Arc::new(Bus::new(None)), stopped_by.clone(), Arc::default())
            .map_err(|error| Failed::new(format!("cannot listen for signals: {error}")))?;
        let executor = LocalProcess::watched();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failed::new(format!("cannot start: {error}")))?;
        let mut answer = Vec::new();
        for managed in &found {
            let began = Instant::now();
            let observer = observer(managed, printer);
            let ready = runtime.block_on(build::ready(managed, store, &executor, observer, stop.clone()));
            match ready {
                Ok(ready) => answer.push(self.told(&ready, began, printer)),
                Err(BuildError::Stopped) => {
                    return Ok(stopped_by.get().copied().unwrap_or(Exit::Interrupted));
                }
                Err(error) => {
                    let message =
                        format!("the environment '{}' ({}) cannot be built: {error}", managed.name, managed.source);
                    return Err(Failed::new(message));
                }
            }
        }
        executor.end_orphans();
        if let Some(format) = self.format.asked() {
            format.print(Json::Array(answer), printer)?;
        }
        Ok(Exit::Ok)
    }

    /// A registered environment, or a curated one with that name.
    fn by_name(&self, name: &str, home: &Home) -> Result<Environment, Failed> {
        let which = Which { name: name.to_owned(), version: self.version.clone(), label: None };
        shown::found(&which, home)?;
        let is_curated = EnvironmentStore::at(home.environments()).get(name, &which.selector()).is_err();
        Ok(Environment::Reference(match (is_curated, &self.version) {
            (true, _) => format!("azureml://registries/azureml/environments/{name}/labels/latest"),
            (false, Some(version)) => format!("azureml:{name}:{version}"),
            (false, None) => format!("azureml:{name}@latest"),
        }))
    }

    /// Says that an environment is ready, unless another format is asked for.
    fn told(&self, ready: &Ready, began: Instant, printer: &Printer) -> Json {
        let lock = &ready.lock;
        if self.format.asked().is_none() {
            printer.out(&format!(
                "the environment '{}' is ready after {}: Python {}, {} packages\n",
                lock.name,
                human_duration(began.elapsed()),
                lock.python,
                lock.packages.len()
            ));
        }
        json!({
            "name": lock.name,
            "source": lock.source,
            "python": lock.python,
            "packages": lock.packages,
            "path": ready.bin.parent(),
        })
    }
}

/// Shows that a build begins, and on a terminal its last line.
fn observer(managed: &Managed, printer: &Printer) -> BuildObserver {
    let begin = format!("building the environment '{}' ({})\n", managed.name, managed.source);
    let notes: Vec<String> = managed.definition.notes.iter().map(|note| format!("note: {note}\n")).collect();
    let working = Arc::new(printer.working());
    let shown = working.clone();
    BuildObserver {
        started: Box::new(move || {
            let printer = Printer::new();
            printer.err(&begin);
            notes.iter().for_each(|note| printer.err(note));
        }),
        line: Arc::new(move |line| shown.say(line)),
    }
}
