//! `amlrun datastore …`: names for storage in pipelines, with the commands of `az ml datastore`.
//!
//! `list` and `show` cover every name that can be resolved: created datastores, those in `amlrun.toml`, and the four
//! that every workspace has. Each is shown once, as a run resolves it. No secret is ever shown.

pub(super) mod create;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use self::create::Create;
use crate::cli::format::Format;
use crate::cli::printer::Printer;
use crate::config::Config;
use crate::config::storage::DatastorePlace;
use crate::data::location::OWN;
use crate::diagnostic::suggest;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::registry::credentials::CredentialsError;
use crate::registry::{Credentials, DatastoreStore};
use crate::runner::project::Project;
use crate::store::Home;

/// Manage datastores, like 'az ml datastore'
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Create or replace a datastore
    #[command(after_help = "Examples:\n  \
        amlrun datastore create -f blob.yml\n  \
        amlrun datastore create -f blob.yml --set account_name=mystorage\n\n\
        The file has the format of 'az ml datastore create'. An account key or SAS is stored outside the \
        workspace (AMLRUN_CREDENTIALS, by default ~/.config/amlrun/credentials.json) and is never printed.\n\
        Without one, credentials are taken from amlrun.toml, from the variables of az (AZURE_STORAGE_KEY …) \
        or from your Azure login.")]
    Create(Create),
    /// List all datastores: created, from amlrun.toml, and built in
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Show a datastore and its location
    #[command(after_help = "Example:\n  amlrun datastore show -n workspaceblobstore --query path -o tsv")]
    Show {
        #[command(flatten)]
        which: Named,
        #[command(flatten)]
        format: Format,
    },
    /// Delete a datastore and its credentials, but not the stored files
    Delete {
        #[command(flatten)]
        which: Named,
    },
}

/// Which datastore.
#[derive(clap::Args)]
pub(super) struct Named {
    /// Name of the datastore
    #[arg(short, long)]
    name: String,
}

pub(super) fn execute(verb: Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    match verb {
        Verb::Create(create) => create.execute(project, printer)?,
        Verb::List { format } => {
            format.check()?;
            let all = all(&project.home(), &Config::near(Path::new(""))?)?;
            format.print(Value::Array(all), printer)?;
        }
        Verb::Show { which, format } => {
            format.check()?;
            let all = all(&project.home(), &Config::near(Path::new(""))?)?;
            let found = all.iter().find(|one| one["name"] == which.name);
            let found = found.cloned().ok_or_else(|| unknown(&which.name, &all))?;
            format.print(found, printer)?;
        }
        Verb::Delete { which } => delete(&which.name, &project.home(), printer)?,
    }
    Ok(Exit::Ok)
}

fn delete(name: &str, home: &Home, printer: &Printer) -> Result<(), Failed> {
    let store = DatastoreStore::at(home.datastores());
    if store.find(name)?.is_none() {
        let all = all(home, &Config::near(Path::new(""))?)?;
        return Err(match all.iter().find(|one| one["name"] == name).map(|one| &one["from"]) {
            Some(from) if from == "amlrun.toml" => {
                Failed::not_found(format!("the datastore '{name}' cannot be deleted"))
                    .hint(format!("remove [datastores.{name}] from amlrun.toml"))
            }
            Some(_) => Failed::not_found(format!("the datastore '{name}' cannot be deleted"))
                .hint("every workspace has it; delete the files in its folder instead"),
            None => unknown(name, &all),
        });
    }
    // The secret is removed first: if this is interrupted, the rest can be deleted by another call.
    let forgotten = match Credentials::of_user() {
        Err(CredentialsError::Nowhere) => false,
        credentials => credentials?.remove(home.root(), name)?,
    };
    store.remove(name)?;
    let with = if forgotten { " with its credentials" } else { "" };
    printer.out(&format!("{name}: deleted{with}; the stored files are kept\n"));
    Ok(())
}

/// Every name that can be resolved, as a run resolves it, sorted by name.
fn all(home: &Home, config: &Config) -> Result<Vec<Value>, Failed> {
    let mut all: Vec<Value> = Vec::new();
    for (name, rules) in &config.datastores {
        match &rules.place {
            Some(DatastorePlace::Folder(folder)) => {
                all.push(folder_at(name, &config.folder().join(folder), "amlrun.toml"));
            }
            Some(DatastorePlace::Container(address)) => {
                all.push(json!({ "name": name, "type": "azure_blob", "path": address, "from": "amlrun.toml" }));
            }
            None => {}
        }
    }
    for created in DatastoreStore::at(home.datastores()).list()? {
        if all.iter().all(|one| one["name"] != *created.name) {
            all.push(serde_json::to_value(&created).unwrap_or_default());
        }
    }
    for name in OWN {
        if all.iter().all(|one| one["name"] != name) {
            all.push(folder_at(name, &home.datastore(name), "workspace"));
        }
    }
    all.sort_by_cached_key(|one| one["name"].as_str().unwrap_or_default().to_owned());
    Ok(all)
}

fn folder_at(name: &str, path: &Path, from: &str) -> Value {
    // Removes `.` from the path of a relative folder in the file, such as `a/./b`.
    let path: PathBuf = path.components().collect();
    json!({ "name": name, "type": "folder", "path": path.to_string_lossy(), "from": from })
}

fn unknown(name: &str, all: &[Value]) -> Failed {
    let names = || all.iter().filter_map(|one| one["name"].as_str());
    let failed = Failed::not_found(format!("the datastore '{name}' was not found in this workspace"));
    match suggest::nearest(name, names()) {
        Some(near) => failed.hint(format!("did you mean '{near}'?")),
        None => failed.hint(format!("use one of {}", names().collect::<Vec<_>>().join(", "))),
    }
}
