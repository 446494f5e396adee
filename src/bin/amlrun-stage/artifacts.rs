//! Artifact storage: behind the MLflow server's proxy, or in a local folder.
//!
//! Names come from the server, so each is checked not to lead out of its folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::mlflow::{Client, MlflowError, Payload, Repeat, percent_decode, percent_encode};

/// The maximum folder depth in a model. A server that lists deeper folders is not trusted.
const DEPTH: usize = 16;

/// A location of artifacts.
pub enum Place<'a> {
    /// A path below the server's `mlflow-artifacts` route.
    Proxy(&'a Client, String),
    /// A folder.
    Folder(PathBuf),
}

impl<'a> Place<'a> {
    /// The location of an artifact URI.
    ///
    /// # Errors
    /// When neither the server's proxy nor the file system can access the store.
    pub fn of(client: &'a Client, uri: &str) -> Result<Self, MlflowError> {
        if let Some(rest) = uri.strip_prefix("mlflow-artifacts:") {
            let path = match rest.strip_prefix("//") {
                None => rest,
                // Credentials are sent only to the server that they were given for.
                Some(rest) => {
                    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
                    let ours = client.server().split_once("://").map_or("", |(_, rest)| rest);
                    if !host.is_empty() && host != ours.split('/').next().unwrap_or_default() {
                        return Err(unreachable(uri));
                    }
                    path
                }
            };
            return Ok(Self::Proxy(client, path.trim_matches('/').to_owned()));
        }
        if let Some(path) = uri.strip_prefix("file://") {
            let path = path.strip_prefix("localhost").unwrap_or(path);
            return Ok(Self::Folder(percent_decode(path).into()));
        }
        if let Some(path) = uri.strip_prefix("file:") {
            return Ok(Self::Folder(percent_decode(path).into()));
        }
        if Path::new(uri).is_absolute() || !uri.contains(':') {
            return Ok(Self::Folder(uri.into()));
        }
        Err(unreachable(uri))
    }

    /// The location `name` below this one.
    #[must_use]
    pub fn below(self, name: &str) -> Self {
        match self {
            Self::Proxy(client, path) => Self::Proxy(client, format!("{path}/{name}")),
            Self::Folder(folder) => Self::Folder(folder.join(name)),
        }
    }

    /// Stores a file under `name`.
    ///
    /// # Errors
    /// When the server refuses it, or the file cannot be written.
    pub fn put(&self, name: &str, file: &Path) -> Result<(), MlflowError> {
        match self {
            Self::Proxy(client, path) => {
                let route = proxy(&format!("{path}/{name}"));
                client.call("PUT", &route, &[], &Payload::File(file), Repeat::Safe).map(drop)
            }
            Self::Folder(folder) => {
                let target = folder.join(name);
                let parent = target.parent().unwrap_or(folder);
                let copied = fs::create_dir_all(parent).and_then(|()| fs::copy(file, &target));
                copied.map(drop).map_err(at(&target))
            }
        }
    }

    /// The names of all files at this location, with `/` between folders.
    ///
    /// # Errors
    /// When they cannot be listed, or a name leads outside.
    pub fn list(&self) -> Result<Vec<String>, MlflowError> {
        let mut names = Vec::new();
        self.list_below("", DEPTH, &mut names)?;
        names.sort();
        Ok(names)
    }

    fn list_below(&self, folder: &str, depth: usize, names: &mut Vec<String>) -> Result<(), MlflowError> {
        if depth == 0 {
            return Err(MlflowError::Artifacts(format!("the artifacts in '{folder}' are nested too deeply")));
        }
        for (name, is_folder) in self.entries(folder)? {
            if name.is_empty() || matches!(name.as_str(), "." | "..") || name.contains(['/', '\\', '\0']) {
                return Err(MlflowError::Artifacts(format!(
                    "the artifact '{name}' points outside the folder and was refused"
                )));
            }
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if is_folder {
                self.list_below(&name, depth - 1, names)?;
            } else {
                names.push(name);
            }
        }
        Ok(())
    }

    /// The names directly in a folder, and whether each is a folder.
    fn entries(&self, folder: &str) -> Result<Vec<(String, bool)>, MlflowError> {
        match self {
            Self::Proxy(client, path) => {
                let path = format!("{path}/{folder}");
                let query = [("path", path.trim_matches('/'))];
                let route = "/api/2.0/mlflow-artifacts/artifacts";
                let bytes = client.call("GET", route, &query, &Payload::None, Repeat::Safe)?;
                let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let entry = |file: &Value| {
                    let name = file["path"].as_str().unwrap_or_default().to_owned();
                    (name, file["is_dir"].as_bool().unwrap_or(false))
                };
                Ok(answer["files"].as_array().map(|files| files.iter().map(entry).collect()).unwrap_or_default())
            }
            Self::Folder(root) => {
                let folder = root.join(folder);
                let mut entries = Vec::new();
                for entry in fs::read_dir(&folder).map_err(at(&folder))? {
                    let entry = entry.map_err(at(&folder))?;
                    let is_folder = entry.file_type().map_err(at(&folder))?.is_dir();
                    entries.push((entry.file_name().to_string_lossy().into_owned(), is_folder));
                }
                Ok(entries)
            }
        }
    }

    /// The bytes of a file from [`Place::list`].
    ///
    /// # Errors
    /// When it does not exist or is incomplete.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, MlflowError> {
        match self {
            Self::Proxy(client, path) => {
                let route = proxy(&format!("{path}/{name}"));
                client.call("GET", &route, &[], &Payload::None, Repeat::Safe)
            }
            Self::Folder(folder) => {
                let path = folder.join(name);
                fs::read(&path).map_err(at(&path))
            }
        }
    }
}

fn proxy(path: &str) -> String {
    format!("/api/2.0/mlflow-artifacts/artifacts/{}", percent_encode(path.trim_matches('/'), true))
}

fn unreachable(uri: &str) -> MlflowError {
    // The type is in the part before the first `?`. What follows may be a signature.
    let uri = uri.split('?').next().unwrap_or_default();
    MlflowError::Artifacts(format!(
        "the artifacts are stored at {uri}, which is not supported: use the server \
        (mlflow-artifacts:) or a folder"
    ))
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> MlflowError {
    move |error| MlflowError::Artifacts(amlrun::fs::at(path, &error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uri: &str) -> Result<String, String> {
        let client = Client::new("http://host:5000", None, None).unwrap();
        match Place::of(&client, uri) {
            Ok(Place::Proxy(_, path)) => Ok(format!("proxy {path}")),
            Ok(Place::Folder(path)) => Ok(format!("folder {}", path.display())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn uris_are_the_proxy_or_a_folder() {
        assert_eq!(place("mlflow-artifacts:/1/r/artifacts").as_deref(), Ok("proxy 1/r/artifacts"));
        assert_eq!(place("mlflow-artifacts://host:5000/1/r").as_deref(), Ok("proxy 1/r"));
        assert_eq!(place("file:///a%20b/c").as_deref(), Ok("folder /a b/c"));
        assert_eq!(place("/a/b").as_deref(), Ok("folder /a/b"));
    }

    #[test]
    fn other_hosts_and_stores_are_refused_without_their_signature() {
        assert!(place("mlflow-artifacts://elsewhere/1/r").is_err());
        let error = place("wasbs://c@a.example/x?sig=secret").unwrap_err();
        assert!(error.contains("wasbs://") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_folder_keeps_and_gives_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, b"bytes").unwrap();
        let place = Place::Folder(folder.path().join("artifacts")).below("model");
        place.put("sub/a.bin", &file).unwrap();
        place.put("b.bin", &file).unwrap();
        assert_eq!(place.list().unwrap(), ["b.bin", "sub/a.bin"]);
        assert_eq!(place.get("sub/a.bin").unwrap(), b"bytes");
    }
}
