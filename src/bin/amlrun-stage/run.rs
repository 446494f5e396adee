//! A run on the MLflow server: the one in the environment, or else a new one. Also logs training to it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::checkpoint::{EpochMetrics, Provenance};
use crate::mlflow::{Client, MlflowError, Repeat};
use crate::progress;
use crate::settings::Settings;

/// The maximum number of metrics in one MLflow batch.
const BATCH: usize = 1000;
/// How long metrics are collected before they are sent.
const FLUSH: Duration = Duration::from_secs(1);

/// A run and its server.
pub struct Run {
    client: Client,
    id: String,
    artifact_uri: String,
    /// Whether this process created the run and has to end it. A given run is ended by its owner.
    own: bool,
}

impl Run {
    /// The run `MLFLOW_RUN_ID` (or `AZUREML_RUN_ID`), or else a new one in the experiment from the environment.
    ///
    /// # Errors
    /// When the server does not respond, or does not have the run.
    pub fn open(client: Client, name: &str) -> Result<Self, MlflowError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let given = variable("MLFLOW_RUN_ID").or_else(|| variable("AZUREML_RUN_ID"));
        let own = given.is_none();
        let answer = match given {
            Some(id) => client.get("runs/get", &[("run_id", &id)])?,
            None => {
                let tags = json!([{"key": "mlflow.source.name", "value": "amlrun-stage"}]);
                let body = json!({
                    "experiment_id": experiment(&client, variable("MLFLOW_EXPERIMENT_ID"), variable("MLFLOW_EXPERIMENT_NAME"))?,
                    "run_name": name, "start_time": now(), "tags": tags,
                });
                client.post("runs/create", &body, Repeat::MakesNew)?
            }
        };
        let info = &answer["run"]["info"];
        let text = |key: &'static str| info[key].as_str().map(str::to_owned).ok_or(MlflowError::Answer(key));
        let (id, artifact_uri) = (text("run_id")?, text("artifact_uri")?);
        Ok(Self { client, id, artifact_uri, own })
    }

    /// The server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The location of its artifacts.
    pub fn artifact_uri(&self) -> &str {
        &self.artifact_uri
    }

    /// Logs metrics as `(key, value, step)`.
    ///
    /// # Errors
    /// When the server refuses them.
    pub fn log_metrics(&self, metrics: &[(String, f64, u64)], repeat: Repeat) -> Result<(), MlflowError> {
        let time = now();
        for chunk in metrics.chunks(BATCH) {
            let metric = |(key, value, step): &(String, f64, u64)| {
                // JSON has no NaN; MLflow accepts it as a string.
                let value = if value.is_finite() { json!(value) } else { json!(value.to_string()) };
                json!({"key": key, "value": value, "timestamp": time, "step": step})
            };
            let body = json!({"run_id": self.id, "metrics": chunk.iter().map(metric).collect::<Vec<_>>()});
            self.client.post("runs/log-batch", &body, repeat)?;
        }
        Ok(())
    }

    /// Logs parameters and tags; at most a hundred of each.
    ///
    /// # Errors
    /// When the server refuses them.
    pub fn log_params(&self, params: &[(&str, String)], tags: &[(&str, String)]) -> Result<(), MlflowError> {
        let body = json!({"run_id": self.id, "params": pairs(params), "tags": pairs(tags)});
        self.client.post("runs/log-batch", &body, Repeat::Never).map(drop)
    }

    /// Ends a run that this process created.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn finish(&self, well: bool) -> Result<(), MlflowError> {
        if !self.own {
            return Ok(());
        }
        let status = if well { "FINISHED" } else { "FAILED" };
        let body = json!({"run_id": self.id, "status": status, "end_time": now()});
        self.client.post("runs/update", &body, Repeat::Safe).map(drop)
    }
}

/// A list of keys and values, for MLflow's tags and parameters.
pub fn pairs<K: AsRef<str>>(pairs: &[(K, String)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key.as_ref(), "value": value})).collect()
}

/// The id of the experiment for a new run. `0` is the default one, which every server has.
fn experiment(client: &Client, id: Option<String>, name: Option<String>) -> Result<String, MlflowError> {
    let (None, Some(name)) = (&id, name) else { return Ok(id.unwrap_or_else(|| "0".to_owned())) };
    let found = match client.get("experiments/get-by-name", &[("experiment_name", &name)]) {
        Ok(answer) => answer["experiment"]["experiment_id"].as_str().map(str::to_owned),
        Err(error) if error.is("RESOURCE_DOES_NOT_EXIST") => {
            let answer = client.post("experiments/create", &json!({"name": name}), Repeat::MakesNew)?;
            answer["experiment_id"].as_str().map(str::to_owned)
        }
        Err(error) => return Err(error),
    };
    found.ok_or(MlflowError::Answer("experiment_id"))
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Logs training without ever stopping it: after the first failure, it prints a warning and logs nothing more.
pub struct Recorder {
    run: Option<Run>,
    waiting: Vec<(String, f64, u64)>,
    flushed: Instant,
}

impl Recorder {
    /// Starts to log training if the environment has a server.
    pub fn start(settings: &Settings, provenance: &Provenance, epochs: u64) -> Self {
        let run = Client::from_environment().and_then(|client| {
            let Some(client) = client else { return Ok(None) };
            let run = Run::open(client, "train")?;
            let params = [
                ("epochs", epochs.to_string()),
                ("hidden", crate::settings::Hidden(settings.hidden.clone()).to_string()),
                ("dropout", settings.dropout.to_string()),
                ("optimizer", settings.optimizer.to_string()),
                ("learning_rate", settings.learning_rate.to_string()),
                ("momentum", settings.momentum.to_string()),
                ("weight_decay", settings.weight_decay.to_string()),
                ("batch_size", settings.batch_size.to_string()),
                ("validation_share", settings.validation_share.to_string()),
                ("patience", settings.patience.to_string()),
                ("seed", settings.seed.to_string()),
            ];
            let tags = [
                ("framework", "pytorch".to_owned()),
                ("libtorch_version", provenance.libtorch_version.clone()),
                ("data_digest", provenance.data_digest.clone()),
                ("device", provenance.device.clone()),
            ];
            run.log_params(&params, &tags)?;
            Ok(Some(run))
        });
        let run = run.unwrap_or_else(|error| {
            progress::warn(format!("training continues without MLflow: {error}"));
            None
        });
        Self { run, waiting: Vec::new(), flushed: Instant::now() }
    }

    /// Adds the metrics of one epoch. They are sent about once per second.
    pub fn epoch(&mut self, metrics: &EpochMetrics, warn: impl Fn(String)) {
        if self.run.is_none() {
            return;
        }
        let values = [
            ("train_loss", Some(metrics.train_loss)),
            ("train_accuracy", Some(metrics.train_accuracy)),
            ("validation_loss", metrics.validation_loss),
            ("validation_accuracy", metrics.validation_accuracy),
        ];
        self.waiting
            .extend(values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?, metrics.epoch))));
        if self.flushed.elapsed() >= FLUSH {
            self.flush(warn);
        }
    }

    /// Sends the collected metrics.
    pub fn flush(&mut self, warn: impl Fn(String)) {
        if let Some(run) = &self.run
            && let Err(error) = run.log_metrics(&std::mem::take(&mut self.waiting), Repeat::Never)
        {
            warn(format!("training continues without MLflow: {error}"));
            self.run = None;
        }
        self.flushed = Instant::now();
    }

    /// Ends the run, if this process created it.
    pub fn finish(&self, well: bool) {
        if let Some(Err(error)) = self.run.as_ref().map(|run| run.finish(well)) {
            progress::warn(format!("MLflow: {error}"));
        }
    }
}
