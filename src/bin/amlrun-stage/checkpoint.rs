//! Checkpoints of training: `persist` makes a model from them, and `--resume` continues exactly where they were
//! written.
//!
//! ```text
//! DIR/latest               the name of the folder below that is whole
//! DIR/epoch-000100/        weights.safetensors    the model: the last weights, or the best with --patience
//!                          optimizer.safetensors  where training stands: current weights, running averages
//!                          module.pt, current.pt  the same two, when a TorchScript module is trained
//!                          architecture.json      the network, its columns and their standardisation, its classes
//!                          progress.json          epoch, best loss, epochs without improvement
//!                          provenance.json        versions, settings, data, device
//!                          metrics.jsonl          one line for each of its epochs
//! DIR/metrics.jsonl        the same, as training goes
//! ```
//!
//! A checkpoint is written under a hidden name, renamed, and only then named in `latest`. If the process is killed in
//! between, the previous checkpoint is still complete.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use amlrun::fs::atomic::{PARTIAL, Temporary};
use amlrun::model_file::{self, Architecture, safetensors, write_file};
use serde::{Deserialize, Serialize};

use crate::error::{StageError, io_error};
use crate::settings::Settings;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: u64,
    /// Mean cross-entropy over the training rows, measured while training on them.
    pub train_loss: f64,
    /// The share of training rows that were classified correctly.
    pub train_accuracy: f64,
    /// The loss on the validation rows, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// The accuracy on the validation rows, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
}

/// The progress of training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of finished epochs.
    pub epoch: u64,
    /// The lowest loss so far (on the validation rows if there are any), for early stopping.
    pub best_loss: Option<f64>,
    /// The epoch of the lowest loss.
    pub best_epoch: u64,
    /// Whether training was stopped early.
    pub stopped_early: bool,
}

/// The origin of the weights, for people and for `--resume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of this program.
    pub amlrun_version: String,
    /// The version of libtorch.
    pub libtorch_version: String,
    /// When the checkpoint was written.
    pub created: String,
    /// The settings of the training.
    pub settings: Settings,
    /// The file name of the data.
    pub data: String,
    /// The BLAKE3 digest of the data.
    pub data_digest: String,
    /// The number of training rows.
    pub training_rows: usize,
    /// The number of validation rows.
    pub validation_rows: usize,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The number of CPU threads.
    pub threads: u32,
    /// The file saved by Python that had the initial weights, with its BLAKE3 digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_with: Option<String>,
}

/// A checkpoint in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The network.
    pub architecture: Architecture,
    /// The model's weights.
    pub weights: Vec<model_file::Tensor>,
    /// The TorchScript file with these weights, if the network is a module.
    pub module: Option<Vec<u8>>,
    /// The TorchScript file with the current weights.
    pub current: Option<Vec<u8>>,
    /// The current weights, and the optimizer's state.
    pub optimizer: Vec<model_file::Tensor>,
    /// The progress of training.
    pub progress: Progress,
    /// The origin of the weights.
    pub provenance: Provenance,
    /// The metrics of every epoch so far.
    pub metrics: Vec<EpochMetrics>,
}

impl Checkpoint {
    /// Writes the checkpoint into `folder`, and then removes older ones.
    ///
    /// # Errors
    /// When it cannot be written. The previous checkpoint is then unchanged.
    pub fn write(&self, folder: &Path) -> Result<(), StageError> {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let name = free_name(folder, self.progress.epoch);
        let new = Temporary::beside(&folder.join(&name));
        let stage = new.path();
        fs::create_dir_all(stage).map_err(io_error(stage))?;
        safetensors::write(&stage.join("weights.safetensors"), &self.weights)?;
        safetensors::write(&stage.join("optimizer.safetensors"), &self.optimizer)?;
        for (name, module) in [(MODULE, &self.module), (CURRENT, &self.current)] {
            if let Some(bytes) = module {
                write_file(&stage.join(name), bytes)?;
            }
        }
        self.architecture.write(&stage.join("architecture.json"))?;
        write_json(&stage.join("progress.json"), &self.progress)?;
        write_json(&stage.join("provenance.json"), &self.provenance)?;
        MetricsFile::begin(stage, &self.metrics)?;
        new.place().map_err(io_error(&folder.join(&name)))?;
        write_file(&folder.join("latest"), format!("{name}\n").as_bytes())?;
        remove_others(folder, &name)
    }

    /// Reads the whole checkpoint in `folder`.
    ///
    /// # Errors
    /// When there is no checkpoint, or one of its files is damaged or belongs to another network.
    pub fn read(folder: &Path) -> Result<Self, StageError> {
        let place = latest(folder)?;
        let architecture = Architecture::read(&place.join("architecture.json"))?;
        let weights_path = place.join("weights.safetensors");
        let weights = safetensors::read(&weights_path)?;
        architecture.check_state(&weights).map_err(|error| {
            StageError::message(format!("{} has a different architecture: {error}", weights_path.display()))
        })?;
        let progress: Progress = read_json(&place.join("progress.json"))?;
        let module = |name: &str| {
            let path = place.join(name);
            let scripted = architecture.kind == model_file::architecture::Kind::TorchScript;
            scripted.then(|| fs::read(&path).map_err(io_error(&path))).transpose()
        };
        Ok(Self {
            module: module(MODULE)?,
            current: module(CURRENT)?,
            architecture,
            weights,
            optimizer: safetensors::read(&place.join("optimizer.safetensors"))?,
            metrics: read_metrics(&place.join(METRICS))?,
            progress,
            provenance: read_json(&place.join("provenance.json"))?,
        })
    }
}

/// The TorchScript files of a module: the model, and the current state of training.
const MODULE: &str = "module.pt";
const CURRENT: &str = "current.pt";

/// An unused name: the folder that `latest` names must stay complete until the next one is named, even for the same
/// epoch.
fn free_name(folder: &Path, epoch: u64) -> String {
    let name = format!("epoch-{epoch:06}");
    let again = (2..).map(|count| format!("{name}.{count}"));
    let free = std::iter::once(name.clone()).chain(again).find(|name| !folder.join(name).exists());
    free.unwrap_or(name)
}

/// Whether training wrote into this folder.
pub fn holds_checkpoint(folder: &Path) -> bool {
    folder.join("latest").exists()
}

/// The folder that `latest` names.
fn latest(folder: &Path) -> Result<PathBuf, StageError> {
    let pointer = folder.join("latest");
    let name = match fs::read_to_string(&pointer) {
        Ok(name) => name.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("{} contains no checkpoint (it has no file 'latest')", folder.display());
            return Err(StageError::Message(text));
        }
        Err(error) => return Err(io_error(&pointer)(error)),
    };
    // The name is untrusted: it must be that of a folder directly below.
    let plain =
        name.strip_prefix("epoch-").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    if !plain || !folder.join(&name).is_dir() {
        return Err(StageError::message(format!(
            "{} refers to '{name}', which is not a checkpoint in this folder",
            pointer.display()
        )));
    }
    Ok(folder.join(name))
}

/// Removes older checkpoints and incomplete ones of killed processes.
fn remove_others(folder: &Path, keep: &str) -> Result<(), StageError> {
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let half = name.starts_with(PARTIAL);
        let ours = name.starts_with("epoch-") || half;
        if ours && name != keep && entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).map_err(io_error(&entry.path()))?;
        }
        if half && entry.path().is_file() {
            fs::remove_file(entry.path()).map_err(io_error(&entry.path()))?;
        }
    }
    Ok(())
}

/// The file with a line for each epoch, next to the checkpoints.
const METRICS: &str = "metrics.jsonl";

/// `metrics.jsonl`, written during training.
pub struct MetricsFile {
    path: PathBuf,
    file: fs::File,
}

impl MetricsFile {
    /// Creates the file in `folder`, with the epochs of earlier training.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn begin(folder: &Path, earlier: &[EpochMetrics]) -> Result<Self, StageError> {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let path = folder.join(METRICS);
        let file = fs::File::create(&path).map_err(io_error(&path))?;
        let mut metrics = Self { path, file };
        earlier.iter().try_for_each(|line| metrics.append(line))?;
        Ok(metrics)
    }

    /// Adds an epoch.
    ///
    /// # Errors
    /// When the file cannot be written, such as on a full disk.
    pub fn append(&mut self, line: &EpochMetrics) -> Result<(), StageError> {
        let text = serde_json::to_string(line).map_err(|error| StageError::message(error.to_string()))?;
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(io_error(&self.path))
    }
}

fn read_metrics(path: &Path) -> Result<Vec<EpochMetrics>, StageError> {
    let text = fs::read_to_string(path).map_err(io_error(path))?;
    let line = |line: &str| {
        let wrong = |error| StageError::message(format!("{}: not a valid line of metrics ({error})", path.display()));
        serde_json::from_str(line).map_err(wrong)
    };
    text.lines().map(line).collect()
}

/// Writes a record as readable JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(path: &Path, record: &impl Serialize) -> Result<(), StageError> {
    let text = serde_json::to_string_pretty(record).map_err(|error| StageError::message(error.to_string()))?;
    Ok(write_file(path, format!("{text}\n").as_bytes())?)
}

/// Reads a record from [`write_json`].
///
/// # Errors
/// When it does not exist, or is not such a record.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, StageError> {
    let bytes = fs::read(path).map_err(io_error(path))?;
    serde_json::from_slice(&bytes).map_err(|error| StageError::message(format!("{}: {error}", path.display())))
}
