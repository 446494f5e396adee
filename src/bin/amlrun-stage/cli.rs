//! The command line of `amlrun-stage`: four stages, each a command of its own.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::device::DeviceChoice;
use crate::require::Requirement;
use crate::settings::Algorithm;
use crate::settings::Hidden;

/// As `--version` tells it.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (libtorch ", env!("AMLRUN_LIBTORCH_VERSION"), ")");

/// Train, persist, register and evaluate torch models without Python.
///
/// Each stage is a command that reads and writes files. You can run it by hand, in a step of `amlrun`, and as the
/// command of an Azure ML component. If MLFLOW_TRACKING_URI is set, stages log to MLflow.
#[derive(Debug, Parser)]
#[command(
    name = "amlrun-stage",
    version = VERSION,
    max_term_width = 100,
    after_help = "\
Examples:
  amlrun-stage train    --data train.csv --label diagnosis --checkpoint ckpt
  amlrun-stage persist  --checkpoint ckpt --model model
  amlrun-stage register --model model --name simple-torch-model --output registered
  amlrun-stage evaluate --registered registered --data test.csv --report report

Exit codes: 0 success, 1 failure (with a message on stderr), 2 invalid command line."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub stage: Stage,
}

/// The stages.
#[derive(Debug, Subcommand)]
pub enum Stage {
    /// Train a SimpleNet on a CSV file and write a checkpoint
    Train(TrainArguments),
    /// Convert a checkpoint or a Python model file to a model directory
    Persist(PersistArguments),
    /// Register a model directory as a model version with MLflow
    Register(RegisterArguments),
    /// Score a model on test data, write a report and check requirements
    Evaluate(EvaluateArguments),
}

/// `train`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("first").args(["resume", "module"]))]
#[command(after_help = "\
The CSV file has a header, a label column (words or integers), and numeric columns. Inputs are
standardised with the mean and deviation of the training rows, which are stored with the model. With
the same seed, data and options, training on the CPU gives the same weights bit for bit.

Examples:
  amlrun-stage train --data train.csv --label diagnosis --checkpoint ckpt
  amlrun-stage train --data train.csv --label y --hidden 64,32 --dropout 0.2 --optimizer adamw \\
      --weight-decay 0.01 --patience 20 --epochs 500 --checkpoint ckpt
  amlrun-stage train --data train.csv --label y --resume ckpt --epochs 200 --checkpoint ckpt

Training can also continue from a file that Python saved. It starts with the weights of the file, and
epochs count from 1. If the file is a checkpoint dictionary with the state of the optimizer (Adam's
averages, SGD's momentum), that state is used; the learning rate is always an option. A TorchScript
module must take rows of columns and return one logit per class:
  amlrun-stage train --data train.csv --label y --resume net.pth --checkpoint ckpt
  amlrun-stage train --data train.csv --label y --module scripted.pt --checkpoint ckpt")]
pub struct TrainArguments {
    /// CSV file with the training data
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column with the class
    #[arg(long, value_name = "COLUMN")]
    pub label: String,
    /// Folder for the checkpoint; an existing checkpoint in it is replaced
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// Columns to train on [default: all except the label]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub features: Vec<String>,
    /// Number of epochs, including those before --resume
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub epochs: u64,
    /// Sizes of the hidden layers, or `none` [default: 20]
    #[arg(long, value_name = "N,…")]
    pub hidden: Option<Hidden>,
    /// Dropout: share of hidden units ignored in training, 0 <= P < 1 [default: 0]
    #[arg(long, value_name = "P", value_parser = share)]
    pub dropout: Option<f64>,
    /// Optimizer [default: adam]
    #[arg(long)]
    pub optimizer: Option<Algorithm>,
    /// Learning rate [default: 0.001]
    #[arg(long, alias = "lr", value_name = "RATE", value_parser = positive)]
    pub learning_rate: Option<f64>,
    /// Momentum for sgd, 0 <= M < 1 [default: 0]
    #[arg(long, value_name = "M", value_parser = share)]
    pub momentum: Option<f64>,
    /// L2 penalty (adam, sgd) or decoupled weight decay (adamw) [default: 0]
    #[arg(long, value_name = "D", value_parser = not_negative)]
    pub weight_decay: Option<f64>,
    /// Rows per update [default: 32]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub batch_size: Option<usize>,
    /// Share of each class used for validation after each epoch, 0 <= S < 1 [default: 0.1]
    #[arg(long, value_name = "S", value_parser = share)]
    pub validation_share: Option<f64>,
    /// Stop after this many epochs without a lower validation loss and keep the best weights; 0 disables it [default:
    /// 0]
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<u64>,
    /// Seed for validation rows, initial weights, shuffling and dropout [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Number of CPU threads; 1 is fastest for small networks
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: u32,
    /// Write the checkpoint after every N epochs and at the end
    #[arg(long, value_name = "EPOCHS", default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub checkpoint_every: u64,
    /// Resume from this checkpoint (other options default to its values), or start from a file that Python saved
    #[arg(long, value_name = "DIR|FILE")]
    pub resume: Option<PathBuf>,
    /// Train this TorchScript module, scripted in Python, instead of a SimpleNet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resume", "hidden", "dropout"])]
    pub module: Option<PathBuf>,
    /// Description (architecture.json) of a file that Python saved [default: from the data]
    #[arg(long, value_name = "FILE", requires = "first")]
    pub architecture: Option<PathBuf>,
    /// Do not standardise the columns
    #[arg(long, conflicts_with = "architecture")]
    pub raw: bool,
}

/// What a file that Python saved does not say.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "For files that Python saved")]
pub struct DescribeArguments {
    /// Description of layers, columns, standardisation and classes [default: architecture.json next to the file]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["training_data", "label", "raw"])]
    pub architecture: Option<PathBuf>,
    /// CSV file to take columns, standardisation (mean and deviation of all rows) and classes from
    #[arg(long, value_name = "FILE")]
    pub training_data: Option<PathBuf>,
    /// Column with the class
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// Input columns, in order [default: all except the label]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', requires = "label")]
    pub features: Vec<String>,
    /// Do not standardise the columns: the model does it, or does not need it
    #[arg(long, requires = "label")]
    pub raw: bool,
}

/// `persist`.
#[derive(Debug, Args)]
#[command(after_help = "\
Always writes architecture.json (the network, its columns with their standardisation, its
classes), and the selected formats:
  torchscript   model.pt: the whole model; torch.jit.load needs no class definition
  safetensors   model.safetensors: only the weights, with the same names and values
  pth           model.pth: a state_dict; torch.load(weights_only=True) can load it
  mlflow        mlflow/: for mlflow.pyfunc.load_model; takes a table with the columns of the data
  The first three formats expect standardised inputs, (value - mean) / std; the MLflow model
  standardises them itself. Every format is loaded again and must give the same outputs bit for bit, or
  the stage fails.

The checkpoint can be a file that Python saved: a state_dict, a checkpoint dictionary or a whole model
of standard layers (.pth, .pt, .safetensors), or a TorchScript module. No pickle is executed.

Examples:
  amlrun-stage persist --checkpoint ckpt --model model
  amlrun-stage persist --checkpoint ckpt --model model --format torchscript,safetensors,pth,mlflow
  amlrun-stage persist --checkpoint net.pth --training-data train.csv --label diagnosis \\
      --model model
  amlrun-stage persist --checkpoint net.pth --architecture architecture.json --model model")]
pub struct PersistArguments {
    /// Checkpoint from `train`, or a file that Python saved
    #[arg(long, value_name = "DIR|FILE")]
    pub checkpoint: PathBuf,
    /// Folder for the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Formats to write, separated by commas
    #[arg(long, value_enum, value_name = "FORM,…", value_delimiter = ',', default_value = "torchscript,safetensors")]
    pub format: Vec<Format>,
    /// What the file does not say.
    #[command(flatten)]
    pub describe: DescribeArguments,
}

/// The forms that `persist` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// model.pt
    Torchscript,
    /// model.safetensors
    Safetensors,
    /// model.pth
    Pth,
    /// mlflow/
    Mlflow,
}

/// `register`.
#[derive(Debug, Args)]
#[command(after_help = "\
Uses the REST API of the MLflow server in MLFLOW_TRACKING_URI. Credentials are taken from
MLFLOW_TRACKING_TOKEN, or from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. The files are
uploaded as artifacts of the run MLFLOW_RUN_ID (or AZUREML_RUN_ID), or of a new run.

Example:
  MLFLOW_TRACKING_URI=http://localhost:5000 amlrun-stage register --model model --name simple-torch-model \\
      --tag stage=nightly --output registered")]
pub struct RegisterArguments {
    /// Model directory from `persist`
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Name of the model; the server assigns the next version
    #[arg(long, value_parser = model_name)]
    pub name: String,
    /// Where to write the result for `evaluate`: a folder (for registered.json) or a .json file
    #[arg(long, value_name = "DIR|FILE")]
    pub output: PathBuf,
    /// Description of this version
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Add a tag to this version; repeat the option for more tags
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub tags: Vec<(String, String)>,
    /// Folder in the artifacts of the run
    #[arg(long, value_name = "PATH", default_value = "model", value_parser = artifact_path)]
    pub artifact_path: String,
}

/// `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes metrics.json, report.md, confusion_matrix.png and roc_curve.png, even if a requirement is not met.
Metrics: accuracy, precision_macro, recall_macro, f1_macro, roc_auc, log_loss, rows, and
precision_CLASS, recall_CLASS, f1_CLASS for every class.

With --model, a local file or folder is scored: the output of `train` or `persist`, or a file that
Python saved (a state_dict, a checkpoint dictionary, a whole model of standard layers, safetensors, a
TorchScript module). No pickle is executed.

Examples:
  amlrun-stage evaluate --registered registered --data test.csv --report report \\
      --require 'accuracy>=0.9' --require 'recall_malignant>=0.85'
  amlrun-stage evaluate --model model --data test.csv --report report
  amlrun-stage evaluate --model net.pth --training-data train.csv --label diagnosis \\
      --data test.csv --report report
  amlrun-stage evaluate --model scripted.pt --raw --label diagnosis --data test.csv --report report")]
pub struct EvaluateArguments {
    /// Folder or file from `register`
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "model", conflicts_with = "model")]
    pub registered: Option<PathBuf>,
    /// Folder or file of a local model
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// CSV file with the test data
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Folder for the report
    #[arg(long, value_name = "DIR")]
    pub report: PathBuf,
    /// Saved format to score; with both, their outputs must be the same bit for bit
    #[arg(long, value_enum, default_value_t = Form::Both)]
    pub form: Form,
    /// Fail if a metric does not meet this condition (>=, >, <=, <); repeat the option for more conditions
    #[arg(long, value_name = "CONDITION")]
    pub require: Vec<Requirement>,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,
    /// What the file does not say.
    #[command(flatten)]
    pub describe: DescribeArguments,
}

/// The saved forms of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// model.pt
    Torchscript,
    /// model.safetensors with architecture.json
    StateDict,
    /// Both, compared
    Both,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| "not a number".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    number(text).and_then(|n| if (0.0..1.0).contains(&n) { Ok(n) } else { Err("not in 0 <= x < 1".to_owned()) })
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|n| if n > 0.0 { Ok(n) } else { Err("must be above 0".to_owned()) })
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|n| if n >= 0.0 { Ok(n) } else { Err("must be 0 or more".to_owned()) })
}

/// MLflow keeps model names free of path and URI separators.
fn model_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the name of a model is empty".to_owned()),
        _ if text.contains(['/', ':']) => Err("the name of a model cannot contain '/' or ':'".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("use --tag key=value".to_owned()),
    }
}

fn artifact_path(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain { Ok(text.to_owned()) } else { Err("use a relative path without '..', for example 'model'".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn artifact_paths_stay_inside_the_run() {
        assert!(artifact_path("a/b").is_ok());
        for path in ["", "/a", "../a", "a//b", "a/.."] {
            assert!(artifact_path(path).is_err(), "{path}");
        }
    }
}
