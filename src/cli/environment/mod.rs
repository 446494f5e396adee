//! `amlrun environment …`: environments with the commands of `az ml environment`, and those that are built here.

mod build;
mod create;
mod shown;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::asset::Which;
use super::format::Format;
use super::printer::Printer;
use crate::environment::managed::curated;
use crate::environment::managed::store::{Store, Stored};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::fs::walk::size_on_disk;
use crate::registry::EnvironmentStore;
use crate::runner::project::Project;

/// Manage environments, like 'az ml environment'
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Register an environment for use as azureml:NAME:VERSION in jobs
    #[command(after_help = "Examples:\n  \
        amlrun environment create -f environment.yml\n  \
        amlrun environment create -n tools --image python:3.11 --conda-file conda.yml\n\n\
        The files that it refers to are copied. A version cannot be changed. Registering the same content again has no \
        effect.")]
    Create(Box<create::Create>),
    /// List the registered environments, or those that are built or known here
    #[command(after_help = "Examples:\n  \
        amlrun environment list -o table\n  \
        amlrun environment list --built -o table\n  \
        amlrun environment list --curated -o table")]
    List {
        /// List the versions of this environment only
        #[arg(short, long, conflicts_with_all = ["built", "curated"])]
        name: Option<String>,
        /// Include archived versions
        #[arg(long, conflicts_with_all = ["built", "curated"])]
        include_archived: bool,
        /// List the environments that are built on this machine, for all workspaces
        #[arg(long, conflicts_with = "curated")]
        built: bool,
        /// List the curated environments of Azure ML whose content is known
        #[arg(long)]
        curated: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Show a registered or curated environment
    #[command(after_help = "Examples:\n  \
        amlrun environment show -n tools -l latest\n  \
        amlrun environment show -n sklearn-1.5 --query packages")]
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
    },
    /// Build an environment now, so that runs need not
    #[command(after_help = "Examples:\n  \
        amlrun environment build -n sklearn-1.5\n  \
        amlrun environment build -n tools -v 2\n  \
        amlrun environment build -f conda.yml\n  \
        amlrun environment build -f pipeline.yml")]
    Build(build::Build),
    /// Hide a version, or all versions, from lists and from azureml:NAME@latest
    Archive(Archived),
    /// Show an archived version, or all versions, again
    Restore(Archived),
}

/// Which versions are archived or restored.
#[derive(clap::Args)]
pub(super) struct Archived {
    /// Name of the environment
    #[arg(short, long)]
    name: String,
    /// Version of the environment [default: all versions]
    #[arg(short, long)]
    version: Option<String>,
}

pub(super) fn execute(verb: Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let store = || EnvironmentStore::at(project.home().environments());
    match verb {
        Verb::Create(create) => {
            create.format.check()?;
            let answer = create.register(project, printer)?;
            create.format.print(answer, printer)?;
        }
        Verb::List { name, include_archived, built, curated, format } => {
            format.check()?;
            let answer = match (built, curated) {
                (true, _) => self::built(),
                (_, true) => curated::names().map(|name| json!({"name": name})).collect(),
                _ => {
                    let found = store().list(name.as_deref());
                    let found = found.iter().filter(|version| include_archived || !version.archived);
                    found.map(|version| shown::registered(version, &store())).collect()
                }
            };
            format.print(Json::Array(answer), printer)?;
        }
        Verb::Show { which, format } => {
            format.check()?;
            format.print(shown::found(&which, &project.home())?, printer)?;
        }
        Verb::Build(build) => return build.run(project, printer),
        Verb::Archive(Archived { name, version }) => store().archive(&name, version.as_deref(), true)?,
        Verb::Restore(Archived { name, version }) => store().archive(&name, version.as_deref(), false)?,
    }
    Ok(Exit::Ok)
}

/// The environments that are built on this machine.
fn built() -> Vec<Json> {
    let of = |stored: Stored| {
        let lock = stored.lock?;
        Some(json!({
            "name": lock.name,
            "source": lock.source,
            "python": lock.python,
            "packages": lock.packages.len(),
            "bytes": size_on_disk(&stored.folder).1,
            "built": lock.built.to_string(),
            "path": stored.folder.join("env"),
        }))
    };
    Store::of_user().map(|store| store.list()).unwrap_or_default().into_iter().filter_map(of).collect()
}
