//! `evaluate`: the registered model, fetched from the registry and not taken from training's output, on test data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use amlrun::model_file::{Architecture, safetensors};
use tch::{Device, Kind, Tensor};

use crate::artifacts::Place;
use crate::checkpoint::read_json;
use crate::cli::{EvaluateArguments, Form};
use crate::data::{self, Table};
use crate::error::{StageError, io_error};
use crate::mlflow::{Client, MlflowError, Repeat};
use crate::net::{SimpleNet, matrix, same_bits};
use crate::persist::{ARCHITECTURE, STATE_DICT, TORCHSCRIPT, load_torchscript};
use crate::progress;
use crate::register::{FILE, Registered, digest};
use crate::report::{self, Verdict};
use crate::require::RequireError;
use crate::run::Run;
use crate::score::{Scores, score};

/// Runs the stage. Everything is written before a requirement that is not met fails it.
///
/// # Errors
/// When the model cannot be fetched or rebuilt, the data do not fit it, or it is not good enough.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<(), StageError> {
    let device = arguments.device.resolve()?;
    let path =
        if arguments.registered.is_dir() { arguments.registered.join(FILE) } else { arguments.registered.clone() };
    let registered: Registered = read_json(&path)?;
    let table = Table::read(&arguments.data)?;
    let client = Client::from_environment()?.ok_or(MlflowError::NoServer)?;
    fs::create_dir_all(&arguments.report).map_err(io_error(&arguments.report))?;
    let model = Fetched::fetch(&client, &registered)?;
    progress::say(format!("fetched {} from {}", registered.uri, client.server()));

    let architecture = model.architecture()?;
    let truth = table.class_indices(&architecture.label, &architecture.classes)?;
    let numbers = table.numbers(architecture.features.iter().map(|column| column.name.as_str()))?;
    let values = data::standardised(&architecture.features, &numbers);
    let input = matrix(&values, architecture.features.len(), device)?;
    let logits = logits(arguments.form, &model, &architecture, &input, device)?;
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
    report::write(&arguments.report, &registered, &architecture, &scores, &metrics, &verdicts)?;
    log(client, &metrics, &registered);
    conclude(&scores, &verdicts, &arguments.report)
}

/// The model's files, in memory: nothing is left on disk, whatever ends this process.
struct Fetched(BTreeMap<&'static str, Vec<u8>>);

impl Fetched {
    /// Asks the registry where the version lives, and takes its files from there.
    fn fetch(client: &Client, registered: &Registered) -> Result<Self, StageError> {
        let query = [("name", registered.name.as_str()), ("version", registered.version.as_str())];
        let answer = client.get("model-versions/get-download-uri", &query)?;
        let uri = answer["artifact_uri"].as_str().ok_or(MlflowError::Answer("artifact_uri"))?;
        let place = Place::of(client, uri)?;
        let names = place.list()?;
        let mut files = BTreeMap::new();
        for name in [TORCHSCRIPT, STATE_DICT, ARCHITECTURE] {
            if !names.iter().any(|known| known == name) {
                return Err(StageError::message(format!("{} has no {name} in the registry", registered.uri)));
            }
            let bytes = place.get(name)?;
            if registered.files.get(name).is_some_and(|known| *known != digest(&bytes)) {
                return Err(StageError::message(format!(
                    "{}: the registry's {name} is not the file that was registered (its digest differs)",
                    registered.uri
                )));
            }
            files.insert(name, bytes);
        }
        Ok(Self(files))
    }

    fn bytes(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn architecture(&self) -> Result<Architecture, StageError> {
        Ok(Architecture::decode(self.bytes(ARCHITECTURE), Path::new(ARCHITECTURE))?)
    }
}

/// One logit per class and row, from the form that was asked for; both must agree bit for bit.
fn logits(
    form: Form,
    model: &Fetched,
    architecture: &Architecture,
    input: &Tensor,
    device: Device,
) -> Result<Tensor, StageError> {
    let whole = || -> Result<Tensor, StageError> {
        let mut module = load_torchscript(model.bytes(TORCHSCRIPT), Path::new(TORCHSCRIPT))?;
        if device != Device::Cpu {
            module.to(device, Kind::Float, false);
        }
        Ok(tch::no_grad(|| module.forward_ts(&[input]))?)
    };
    let rebuilt = || -> Result<Tensor, StageError> {
        let state = safetensors::decode(model.bytes(STATE_DICT), Path::new(STATE_DICT))?;
        let net = SimpleNet::from_state(architecture, &state, device)?;
        tch::no_grad(|| net.forward(input, false))
    };
    match form {
        Form::Torchscript => whole(),
        Form::StateDict => rebuilt(),
        Form::Both => {
            let (whole, rebuilt) = (whole()?, rebuilt()?);
            if !same_bits(&whole, &rebuilt)? {
                let text = format!("{TORCHSCRIPT} and {STATE_DICT} of the registered model give different outputs");
                return Err(StageError::Message(text));
            }
            Ok(rebuilt)
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
fn log(client: Client, metrics: &BTreeMap<String, f64>, registered: &Registered) {
    let logged = Run::open(client, &format!("evaluate {}", registered.id)).and_then(|run| {
        // MLflow takes letters, digits and `_-. :/` in a name; a class may be called anything.
        let plain = |key: &str| {
            key.chars().map(|c| if c.is_alphanumeric() || "_-. :/".contains(c) { c } else { '_' }).collect()
        };
        let metrics: Vec<(String, f64, u64)> = metrics.iter().map(|(key, value)| (plain(key), *value, 0)).collect();
        run.log_metrics(&metrics, Repeat::Safe)?;
        run.log_params(&[("model", registered.uri.clone())], &[])?;
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
