//! `evaluate`: a model on test data. It is fetched from the registry, and not taken from training's output; or it is a
//! file or folder on this machine, such as Python saved.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use amlrun::model_file::architecture::Kind as NetKind;
use amlrun::model_file::{Architecture, Tensor as FileTensor, safetensors};
use tch::{Device, Kind, Tensor};

use crate::artifacts::Place;
use crate::checkpoint::{Checkpoint, holds_checkpoint, read_json};
use crate::cli::{EvaluateArguments, Form};
use crate::data::{self, Table};
use crate::describe::described;
use crate::error::{StageError, io_error};
use crate::given::Given;
use crate::mlflow::{Client, MlflowError, Repeat};
use crate::net::{SimpleNet, matrix, same_bits};
use crate::persist::{ARCHITECTURE, STATE_DICT, TORCHSCRIPT};
use crate::register::{FILE, Registered, digest};
use crate::report::{self, Verdict};
use crate::require::RequireError;
use crate::run::Run;
use crate::score::{Scores, score};
use crate::{progress, scripted};

/// Runs the stage. Everything is written before a requirement that is not met fails it.
///
/// # Errors
/// When the model cannot be fetched or rebuilt, the data do not fit it, or it is not good enough.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<(), StageError> {
    let device = arguments.device.resolve()?;
    let client = Client::from_environment()?;
    let (subject, table) = match (&arguments.registered, &arguments.model) {
        (Some(registered), _) => {
            let path = if registered.is_dir() { registered.join(FILE) } else { registered.clone() };
            let registered: Registered = read_json(&path)?;
            let table = Table::read(&arguments.data)?;
            let client = client.as_ref().ok_or(MlflowError::NoServer)?;
            fs::create_dir_all(&arguments.report).map_err(io_error(&arguments.report))?;
            let subject = Subject::fetch(client, &registered)?;
            progress::say(format!("fetched {} from {}", registered.uri, client.server()));
            (subject, table)
        }
        (None, Some(path)) => {
            let table = Table::read(&arguments.data)?;
            (Subject::read(arguments, path, &table)?, table)
        }
        (None, None) => return Err(StageError::message("name a model with --registered or --model")),
    };
    fs::create_dir_all(&arguments.report).map_err(io_error(&arguments.report))?;

    let architecture = &subject.architecture;
    let truth = table.class_indices(&architecture.label, &architecture.classes)?;
    let numbers = table.numbers(architecture.features.iter().map(|column| column.name.as_str()))?;
    let values = data::standardised(&architecture.features, &numbers);
    let input = matrix(&values, architecture.features.len(), device)?;
    let logits = subject.logits(arguments.form, &input, device)?;
    let probabilities = probabilities(&logits, architecture.classes.len())?;
    let truth: Vec<usize> = truth.into_iter().map(|class| usize::try_from(class).unwrap_or(0)).collect();
    let scores = score(&truth, &probabilities, architecture.classes.len());

    let metrics = scores.metrics(&architecture.classes);
    // An unknown metric is told before anything else: it is a mistake of the one who asks, not of the model.
    let verdicts = arguments
        .require
        .iter()
        .map(|requirement| {
            let (met, value) = requirement.check(&metrics)?;
            Ok(Verdict { requirement: requirement.to_string(), met, value })
        })
        .collect::<Result<Vec<_>, RequireError>>()?;
    report::write(&arguments.report, &subject, &scores, &metrics, &verdicts)?;
    // A file on this machine is scored without a server, unless there is one.
    if let Some(client) = client {
        log(client, &metrics, &subject);
    }
    conclude(&scores, &verdicts, &arguments.report)
}

/// The model that is scored, in memory: nothing is left on disk, whatever ends this process.
pub struct Subject {
    /// `name:version`, or the path.
    pub id: String,
    /// `models:/name/version`, or the path.
    pub uri: String,
    /// Whether it comes from the registry.
    pub is_registered: bool,
    /// What it looks like.
    pub architecture: Architecture,
    module: Option<Vec<u8>>,
    weights: Option<Vec<FileTensor>>,
}

impl Subject {
    /// Asks the registry where the version lives, and takes its files from there.
    fn fetch(client: &Client, registered: &Registered) -> Result<Self, StageError> {
        let query = [("name", registered.name.as_str()), ("version", registered.version.as_str())];
        let answer = client.get("model-versions/get-download-uri", &query)?;
        let uri = answer["artifact_uri"].as_str().ok_or(MlflowError::Answer("artifact_uri"))?;
        let place = Place::of(client, uri)?;
        let names = place.list()?;
        let fetch = |name: &str| -> Result<Option<Vec<u8>>, StageError> {
            if !names.iter().any(|known| known == name) {
                // What was registered must be there; other forms need not.
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

    /// The model in a file or folder: a model directory with all its forms, a checkpoint, or what Python saved.
    fn read(arguments: &EvaluateArguments, path: &Path, table: &Table) -> Result<Self, StageError> {
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

    /// One logit per class and row, from the form that was asked for; when both are there, they must agree bit for bit.
    fn logits(&self, form: Form, input: &Tensor, device: Device) -> Result<Tensor, StageError> {
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
        // The code of a TorchScript module is in the module only.
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
            (Form::Torchscript, None, _) => Err(none("TorchScript form")),
            (Form::StateDict, _, None) => Err(none("state_dict from which the network can be rebuilt")),
            (Form::Both, None, None) => Err(none("form that can be scored: neither model.pt nor model.safetensors")),
        }
    }
}

fn probabilities(logits: &Tensor, classes: usize) -> Result<Vec<Vec<f64>>, StageError> {
    let flat = logits.f_to_kind(Kind::Double)?.f_softmax(-1, Kind::Double)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut values = vec![0f64; flat.numel()];
    flat.f_copy_data(&mut values, flat.numel())?;
    Ok(values.chunks(classes).map(<[f64]>::to_vec).collect())
}

/// Logs the metrics to the run; trouble there does not spoil the evaluation.
fn log(client: Client, metrics: &BTreeMap<String, f64>, subject: &Subject) {
    let logged = Run::open(client, &format!("evaluate {}", subject.id)).and_then(|run| {
        // MLflow takes letters, digits and `_-. :/` in a name; a class may be called anything.
        let plain = |key: &str| {
            key.chars().map(|c| if c.is_alphanumeric() || "_-. :/".contains(c) { c } else { '_' }).collect()
        };
        let metrics: Vec<(String, f64, u64)> = metrics.iter().map(|(key, value)| (plain(key), *value, 0)).collect();
        run.log_metrics(&metrics, Repeat::Safe)?;
        run.log_params(&[("model", subject.uri.clone())], &[])?;
        run.finish(true)
    });
    if let Err(error) = logged {
        progress::warn(format!("the metrics are not on MLflow: {error}"));
    }
}

fn conclude(scores: &Scores, verdicts: &[Verdict], folder: &Path) -> Result<(), StageError> {
    progress::say(format!("accuracy {:.4} on {} rows", scores.accuracy, scores.rows));
    if let Some(area) = scores.roc_auc {
        progress::say(format!("ROC AUC {area:.4}, log loss {:.4}", scores.log_loss));
    }
    progress::say(format!("report in {}", folder.display()));
    for verdict in verdicts.iter().filter(|verdict| verdict.met) {
        progress::say(format!("required {}: met ({:.4})", verdict.requirement, verdict.value));
    }
    let missed: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.met)
        .map(|verdict| format!("required {}, it is {:.4}", verdict.requirement, verdict.value))
        .collect();
    if missed.is_empty() { Ok(()) } else { Err(RequireError::NotMet(missed).into()) }
}
