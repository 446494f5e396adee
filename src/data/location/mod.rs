//! Resolves data addresses: to a local file or folder, to a blob with its credentials, or to a web address.
//!
//! A datastore is looked up in `amlrun.toml` first, then among the created ones, then among the four that every
//! workspace has (reference, section 9.5). `credentials` knows accounts and credentials; `workspace` knows what runs
//! and the registry store. Creating [`Places`] reads nothing. Each lookup reads what it needs, so that a job without
//! datastores needs no credentials. This module must not know how bytes are transferred, or whether anything exists at
//! an address.

mod credentials;
#[cfg(test)]
mod tests;
mod workspace;

use std::path::{Component, Path, PathBuf};

use crate::again::amlrun;
use crate::config::Config;
use crate::config::storage::DatastorePlace;
use crate::diagnostic::suggest;
use crate::registry::datastore::DatastoreKind;
use crate::registry::{Credentials, Datastore, DatastoreStore};
use crate::secret::Credential;
use crate::spec::data_uri::{BlobUri, DataUri};
use crate::store::Home;
use crate::store::below;

/// The datastores that every workspace has (reference, section 9.5).
pub(crate) const OWN: [&str; 4] =
    ["workspaceblobstore", "workspaceartifactstore", "workspacefilestore", "workspaceworkingdirectory"];

/// Where an address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file or folder on this machine. In a datastore, it may not exist yet.
    Local(PathBuf),
    /// A blob, or all blobs under a path.
    Blob {
        /// Its address, without credentials.
        uri: BlobUri,
        /// Its credentials.
        credential: Credential,
    },
    /// A web address.
    Web {
        /// The whole address, including the query.
        url: String,
    },
}

/// Looks up an environment variable.
type Ask<T> = Box<dyn Fn(&str) -> T + Send + Sync>;

/// A workspace and its configuration, used to locate data.
pub(crate) struct Places {
    home: Home,
    config: Config,
    /// Looks up an environment variable.
    variable: Ask<Option<String>>,
    /// Whether credentials are needed too.
    opens: bool,
    /// The credentials of the current user.
    credentials: Box<dyn Fn() -> Result<Credentials, String> + Send + Sync>,
}

impl Places {
    /// The locations of a workspace. Nothing is read until something is looked up.
    pub(crate) fn new(home: Home, config: &Config) -> Self {
        Self {
            home,
            config: config.clone(),
            opens: true,
            variable: Box::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty())),
            credentials: Box::new(|| Credentials::of_user().map_err(|e| e.to_string())),
        }
    }

    /// The same without credentials, for commands that only show where addresses lead: a secret that is not available
    /// is not a mistake in a file.
    pub(crate) fn unopened(self) -> Self {
        Self { opens: false, ..self }
    }

    /// Resolves an address.
    ///
    /// # Errors
    /// A message for the user: an unknown name, with a similar one; an unsupported kind of storage; or a secret that
    /// was not found.
    pub(crate) fn resolve(&self, uri: &DataUri) -> Result<Place, String> {
        match uri {
            DataUri::Datastore { name, path } => self.datastore(name, path),
            DataUri::Blob(uri) => self.bare_blob(uri.clone()),
            DataUri::Web { url } => match self.known_blob(url)? {
                Some(uri) => self.bare_blob(uri),
                None => Ok(Place::Web { url: url.clone() }),
            },
            DataUri::JobOutput { job, output, path } => self.job_output(job, output, path).map(Place::Local),
            DataUri::RunArtifact { run, path } => self.run_artifact(run, path).map(Place::Local),
            DataUri::Model { name, version, path } => self.model(name, version, path),
        }
    }

    /// A path in a datastore.
    fn datastore(&self, name: &str, path: &str) -> Result<Place, String> {
        match self.config.datastores.get(name).and_then(|rules| rules.place.as_ref()) {
            Some(DatastorePlace::Folder(folder)) => {
                return Ok(Place::Local(below(without_dots(&self.config.folder().join(folder)), path)));
            }
            Some(DatastorePlace::Container(address)) => {
                let mut uri = self.container(name, address)?;
                uri.path = joined(&uri.path, path);
                return self.blob_of(name, uri, None);
            }
            None => {}
        }
        if let Some(created) = self.store().find(name).map_err(|e| e.to_string())? {
            return self.created(&created, path);
        }
        if OWN.contains(&name) {
            return Ok(Place::Local(below(self.home.datastore(name), path)));
        }
        Err(self.unknown(name))
    }

    /// A path in a datastore that was created.
    fn created(&self, created: &Datastore, path: &str) -> Result<Place, String> {
        let name = &created.name;
        if created.kind != DatastoreKind::AzureBlob {
            return Err(format!(
                "the datastore '{name}' is {}, which is not supported yet: map it to a folder with \
                [datastores.{name}] folder = \"PATH\" in amlrun.toml",
                created.kind.words()
            ));
        }
        let (account, endpoint) = created.root();
        let container = created.container_name.clone();
        let uri = BlobUri { account, endpoint, container, path: path.to_owned(), sas: None };
        self.blob_of(name, uri, Some(created))
    }

    fn unknown(&self, name: &str) -> String {
        let created = self.store().names();
        let mapped = self.config.datastores.iter().filter(|(_, rules)| rules.place.is_some());
        let known = mapped.map(|(name, _)| name.as_str()).chain(created.iter().map(String::as_str)).chain(OWN);
        let near = suggest::nearest(name, known).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        let colon = if near.is_empty() { ":" } else { " Or" };
        format!(
            "the datastore '{name}' was not found{near}{colon} map it with [datastores.{name}] folder = \"PATH\" \
            in amlrun.toml, or create it: {}",
            amlrun("datastore create -f FILE")
        )
    }

    fn store(&self) -> DatastoreStore {
        DatastoreStore::at(self.home.datastores())
    }
}

/// A folder without `..` in its path. An input must not lead out of a datastore, but the datastore's own path may
/// contain `..`.
fn without_dots(folder: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in folder.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    // If a part of the path is a link, only the file system knows where `..` leads.
    if plain.components().eq(folder.components()) { plain } else { folder.canonicalize().unwrap_or(plain) }
}

/// A path in a container under another one.
fn joined(first: &str, second: &str) -> String {
    match (first.trim_end_matches('/'), second) {
        ("", path) => path.to_owned(),
        (path, "") => path.to_owned(),
        (first, second) => format!("{first}/{second}"),
    }
}
