//! `evaluate`: scores a model on test data. The model is fetched from the registry, not from the output of training; or
//! it is a local file or folder, such as one saved by Python.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::checkpoint::read_json;
use crate::cli::EvaluateArguments;
use crate::data::{self, Table};
use crate::error::{StageError, io_error};
use crate::mlflow::{Client, MlflowError, Repeat};
use crate::net::matrix;
use crate::progress;
use crate::register::{FILE, Registered};
use crate::report::{self, RequirementResult};
use crate::require::RequireError;
use crate::run::Run;
use crate::score::{Scores, score};
use crate::subject::Subject;

/// Runs the stage. All outputs are written before an unmet requirement makes it fail.
///
/// # Errors
/// When the model cannot be fetched or rebuilt, the data do not fit it, or it does not meet the requirements.
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
        (None, None) => return Err(StageError::message("a model is required: use --registered or --model")),
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
    // An unknown metric is reported first: it is a mistake in the options, not a property of the model.
    let results = arguments
        .require
        .iter()
        .map(|requirement| {
            let (met, value) = requirement.check(&metrics)?;
            Ok(RequirementResult { requirement: requirement.to_string(), met, value })
        })
        .collect::<Result<Vec<_>, RequireError>>()?;
    report::write(&arguments.report, &subject, &scores, &metrics, &results)?;
    // A local file is scored without a server, unless one is configured.
    if let Some(client) = client {
        log(client, &metrics, &subject);
    }
    conclude(&scores, &results, &arguments.report)
}

fn probabilities(logits: &Tensor, classes: usize) -> Result<Vec<Vec<f64>>, StageError> {
    let flat = logits.f_to_kind(Kind::Double)?.f_softmax(-1, Kind::Double)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut values = vec![0f64; flat.numel()];
    flat.f_copy_data(&mut values, flat.numel())?;
    Ok(values.chunks(classes).map(<[f64]>::to_vec).collect())
}

/// Logs the metrics to the run. A failure to do so does not fail the evaluation.
fn log(client: Client, metrics: &BTreeMap<String, f64>, subject: &Subject) {
    let logged = Run::open(client, &format!("evaluate {}", subject.id)).and_then(|run| {
        // MLflow allows letters, digits and `_-. :/` in a name, but a class may have any name.
        let plain = |key: &str| {
            key.chars().map(|c| if c.is_alphanumeric() || "_-. :/".contains(c) { c } else { '_' }).collect()
        };
        let metrics: Vec<(String, f64, u64)> = metrics.iter().map(|(key, value)| (plain(key), *value, 0)).collect();
        run.log_metrics(&metrics, Repeat::Safe)?;
        run.log_params(&[("model", subject.uri.clone())], &[])?;
        run.finish(true)
    });
    if let Err(error) = logged {
        progress::warn(format!("the metrics were not logged to MLflow: {error}"));
    }
}

fn conclude(scores: &Scores, results: &[RequirementResult], folder: &Path) -> Result<(), StageError> {
    progress::say(format!("accuracy {:.4} on {} rows", scores.accuracy, scores.rows));
    if let Some(area) = scores.roc_auc {
        progress::say(format!("ROC AUC {area:.4}, log loss {:.4}", scores.log_loss));
    }
    progress::say(format!("report in {}", folder.display()));
    for result in results.iter().filter(|result| result.met) {
        progress::say(format!("required {}: met ({:.4})", result.requirement, result.value));
    }
    let missed: Vec<String> = results
        .iter()
        .filter(|result| !result.met)
        .map(|result| format!("required {}, but it is {:.4}", result.requirement, result.value))
        .collect();
    if missed.is_empty() { Ok(()) } else { Err(RequireError::NotMet(missed).into()) }
}
