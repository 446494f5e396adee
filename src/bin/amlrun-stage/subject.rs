//! The model to evaluate, from the registry or from a file.

use std::fs;
use std::path::Path;

use amlrun::model_file::architecture::Kind as NetKind;
use amlrun::model_file::{Architecture, Tensor as FileTensor, safetensors};
use tch::{Device, Tensor};

use crate::artifacts::Place;
use crate::checkpoint::{Checkpoint, holds_checkpoint};
use crate::cli::{EvaluateArguments, Form};
use crate::data::Table;
use crate::describe::described;
use crate::error::{StageError, io_error};
use crate::imported_model::Given;
use crate::mlflow::{Client, MlflowError};
use crate::model_dir::digest;
use crate::model_dir::{ARCHITECTURE, STATE_DICT, TORCHSCRIPT};
use crate::net::{SimpleNet, same_bits};
use crate::register::Registered;
use crate::{progress, scripted};

/// The model to evaluate, in memory: nothing is left on disk, even if this process is killed.
pub struct Subject {
    /// `name:version`, or the path.
    pub id: String,
    /// `models:/name/version`, or the path.
    pub uri: String,
    /// Whether it comes from the registry.
    pub is_registered: bool,
    /// Its architecture.
    pub architecture: Architecture,
    module: Option<Vec<u8>>,
    weights: Option<Vec<FileTensor>>,
}

impl Subject {
    /// Looks up the location of the version in the registry, and fetches its files.
    pub fn fetch(client: &Client, registered: &Registered) -> Result<Self, StageError> {
        let query = [("name", registered.name.as_str()), ("version", registered.version.as_str())];
        let answer = client.get("model-versions/get-download-uri", &query)?;
        let uri = answer["artifact_uri"].as_str().ok_or(MlflowError::Answer("artifact_uri"))?;
        let place = Place::of(client, uri)?;
        let names = place.list()?;
        let fetch = |name: &str| -> Result<Option<Vec<u8>>, StageError> {
            if !names.iter().any(|known| known == name) {
                // Registered files must exist; other formats may be missing.
                if name == ARCHITECTURE || registered.files.contains_key(name) {
                    return Err(StageError::message(format!("{} has no {name} in the registry", registered.uri)));
                }
                return Ok(None);
            }
            let bytes = place.get(name)?;
            if registered.files.get(name).is_some_and(|known| *known != digest(&bytes)) {
                return Err(StageError::message(format!(
                    "{}: the registry's {name} is not the file that was registered (its digest differs)",
                    registered.uri
                )));
            }
            Ok(Some(bytes))
        };
        let description = fetch(ARCHITECTURE)?.unwrap_or_default();
        let weights = fetch(STATE_DICT)?;
        Ok(Self {
            id: registered.id.clone(),
            uri: registered.uri.clone(),
            is_registered: true,
            architecture: Architecture::decode(&description, Path::new(ARCHITECTURE))?,
            module: fetch(TORCHSCRIPT)?,
            weights: weights.map(|bytes| safetensors::decode(&bytes, Path::new(STATE_DICT))).transpose()?,
        })
    }

    /// The model in a file or folder: a model folder with all its formats, a checkpoint, or a file saved by Python.
    pub fn read(arguments: &EvaluateArguments, path: &Path, table: &Table) -> Result<Self, StageError> {
        let shown = path.display().to_string();
        let subject = |architecture, module, weights| Self {
            id: shown.clone(),
            uri: shown.clone(),
            is_registered: false,
            architecture,
            module,
            weights,
        };
        let (module, weights) = (path.join(TORCHSCRIPT), path.join(STATE_DICT));
        if path.join(ARCHITECTURE).is_file() && module.is_file() && weights.is_file() {
            let architecture = Architecture::read(&path.join(ARCHITECTURE))?;
            let module = fs::read(&module).map_err(io_error(&module))?;
            return Ok(subject(architecture, Some(module), Some(safetensors::read(&weights)?)));
        }
        if path.is_dir() && holds_checkpoint(path) {
            let checkpoint = Checkpoint::read(path)?;
            return Ok(subject(checkpoint.architecture, checkpoint.module, Some(checkpoint.weights)));
        }
        let given = Given::read(path, &described(&arguments.describe, path, Some(table))?)?;
        progress::say(format!("{}: {} {}", given.path.display(), given.architecture.kind, given.architecture.shape()));
        Ok(subject(given.architecture, given.module, Some(given.weights)))
    }

    /// One logit for each class and row, from the requested format. If both formats exist, they must agree bit for bit.
    pub fn logits(&self, form: Form, input: &Tensor, device: Device) -> Result<Tensor, StageError> {
        let none = |what: &str| StageError::message(format!("{} has no {what}", self.uri));
        let whole = |bytes: &[u8]| -> Result<Tensor, StageError> {
            let path = if self.is_registered { Path::new(TORCHSCRIPT) } else { Path::new(&self.uri) };
            let module = scripted::load(bytes, path, device)?;
            scripted::logits(&module, input, self.architecture.classes.len(), path)
        };
        let rebuilt = |state: &[FileTensor]| -> Result<Tensor, StageError> {
            let net = SimpleNet::from_state(&self.architecture, state, device)?;
            tch::no_grad(|| net.forward(input, false))
        };
        // The code of a TorchScript module is only in the module.
        let weights = self.weights.as_deref().filter(|_| self.architecture.kind == NetKind::SimpleNet);
        match (form, self.module.as_deref(), weights) {
            (Form::Torchscript | Form::Both, Some(bytes), None) | (Form::Torchscript, Some(bytes), _) => whole(bytes),
            (Form::StateDict | Form::Both, None, Some(state)) | (Form::StateDict, _, Some(state)) => rebuilt(state),
            (Form::Both, Some(bytes), Some(state)) => {
                let (whole, rebuilt) = (whole(bytes)?, rebuilt(state)?);
                if !same_bits(&whole, &rebuilt)? {
                    let text = format!("{TORCHSCRIPT} and {STATE_DICT} of {} give different outputs", self.uri);
                    return Err(StageError::Message(text));
                }
                Ok(rebuilt)
            }
            (Form::Torchscript, None, _) => Err(none("TorchScript format")),
            (Form::StateDict, _, None) => Err(none("state_dict from which the network can be rebuilt")),
            (Form::Both, None, None) => Err(none("format that can be scored: neither model.pt nor model.safetensors")),
        }
    }
}
