//! `register`: registers a model folder as a version of a model, only through MLflow's REST API.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amlrun::model_file::architecture::Kind as NetKind;
use amlrun::model_file::{Architecture, safetensors};
use serde::{Deserialize, Serialize};
use serde_json::json;
use walkdir::WalkDir;

use crate::artifacts::Place;
use crate::checkpoint::write_json;
use crate::cli::RegisterArguments;
use crate::error::{StageError, io_error};
use crate::mlflow::{Client, MlflowError, Repeat};
use crate::model_dir::LIBTORCH_VERSION;
use crate::model_dir::digest;
use crate::model_dir::{ARCHITECTURE, STATE_DICT, TORCHSCRIPT};
use crate::progress;
use crate::run::{Run, pairs};

/// What the next step needs in order to fetch the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The model's name.
    pub name: String,
    /// Its version, in MLflow's form.
    pub version: String,
    /// `name:version`, in Azure ML's form.
    pub id: String,
    /// `models:/name/version`, in MLflow's form.
    pub uri: String,
    /// The run that has the artifacts.
    pub run_id: String,
    /// The BLAKE3 digest of every file, in hexadecimal.
    pub files: BTreeMap<String, String>,
}

/// The file in an `--output` folder.
pub const FILE: &str = "registered.json";

/// Runs the stage.
///
/// # Errors
/// When the folder is not a model, or the server returns an error.
pub fn register(arguments: &RegisterArguments) -> Result<(), StageError> {
    let folder = &arguments.model;
    let architecture = check_model(folder)?;
    let files = files_below(folder)?;
    let client = Client::from_environment()?.ok_or(MlflowError::NoServer)?;
    let run = Run::open(client, &format!("register {}", arguments.name))?;
    let outcome = register_in(arguments, &architecture, &files, &run);
    let closed = run.finish(outcome.is_ok());
    let registered = outcome?;
    if let Err(error) = closed {
        progress::warn(format!("MLflow: {error}"));
    }
    let path = output_file(&arguments.output)?;
    write_json(&path, &registered)?;
    progress::say(format!("Model '{}' registered with model id: {}", registered.name, registered.id));
    Ok(())
}

fn register_in(
    arguments: &RegisterArguments,
    architecture: &Architecture,
    files: &[String],
    run: &Run,
) -> Result<Registered, StageError> {
    let client = run.client();
    let place = Place::of(client, run.artifact_uri())?.below(&arguments.artifact_path);
    let mut digests = BTreeMap::new();
    for name in files {
        let path = arguments.model.join(name);
        digests.insert(name.clone(), digest(&fs::read(&path).map_err(io_error(&path))?));
        place.put(name, &path)?;
    }
    let name = &arguments.name;
    match client.post("registered-models/create", &json!({"name": name}), Repeat::Safe) {
        Err(error) if !error.is("RESOURCE_ALREADY_EXISTS") => return Err(error.into()),
        _ => {}
    }
    let mut tags = vec![
        ("framework".to_owned(), "pytorch".to_owned()),
        ("libtorch_version".to_owned(), LIBTORCH_VERSION.to_owned()),
        ("architecture".to_owned(), format!("{} {}", architecture.kind, architecture.shape())),
    ];
    for (key, value) in &arguments.tags {
        // A tag that the user sets replaces ours.
        tags.retain(|(known, _)| known != key);
        tags.push((key.clone(), value.clone()));
    }
    let mut body = json!({
        "name": name,
        "source": format!("{}/{}", run.artifact_uri().trim_end_matches('/'), arguments.artifact_path),
        "run_id": run.id(),
        "tags": pairs(&tags),
    });
    if let Some(description) = &arguments.description {
        body["description"] = json!(description);
    }
    let answer = client.post("model-versions/create", &body, Repeat::MakesNew)?;
    let version = answer["model_version"]["version"].as_str().ok_or(MlflowError::Answer("version"))?.to_owned();
    Ok(Registered {
        id: format!("{name}:{version}"),
        uri: format!("models:/{name}/{version}"),
        name: name.clone(),
        version,
        run_id: run.id().to_owned(),
        files: digests,
    })
}

/// Checks before registering that the folder is a model that `evaluate` can rebuild.
fn check_model(folder: &Path) -> Result<Architecture, StageError> {
    let missing = |name: &str| {
        let text =
            format!("{} is not a model directory: it has no {name} (use a directory from persist)", folder.display());
        StageError::Message(text)
    };
    let (module, state) = (folder.join(TORCHSCRIPT), folder.join(STATE_DICT));
    if !module.is_file() && !state.is_file() {
        return Err(missing(&format!("{TORCHSCRIPT} and no {STATE_DICT}")));
    }
    if !folder.join(ARCHITECTURE).is_file() {
        return Err(missing(ARCHITECTURE));
    }
    let architecture = Architecture::read(&folder.join(ARCHITECTURE))?;
    if architecture.kind == NetKind::TorchScript && !module.is_file() {
        return Err(missing(TORCHSCRIPT));
    }
    if state.is_file() {
        architecture.check_state(&safetensors::read(&state)?).map_err(|error| {
            StageError::message(format!("{} has a different architecture: {error}", state.display()))
        })?;
    }
    Ok(architecture)
}

/// The paths of the files in the model folder. Links are left out, because they could lead outside.
fn files_below(folder: &Path) -> Result<Vec<String>, StageError> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder) {
        let entry = entry.map_err(|error| io_error(folder)(error.into()))?;
        if entry.file_type().is_file() {
            files.push(entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}

/// A path that ends with `.json` is the file. Any other path is a folder, which is created if needed.
fn output_file(output: &Path) -> Result<PathBuf, StageError> {
    if !output.is_dir() && output.extension().is_some_and(|ending| ending == "json") {
        return Ok(output.to_owned());
    }
    fs::create_dir_all(output).map_err(io_error(output))?;
    Ok(output.join(FILE))
}
