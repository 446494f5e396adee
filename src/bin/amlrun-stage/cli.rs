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

/// The native stages of a torch model's life: train, persist, register, evaluate.
///
/// Each stage is an ordinary command that reads files and writes files, so it runs by hand, under `amlrun`, and as
/// the command of an Azure ML component. MLflow is spoken to where MLFLOW_TRACKING_URI is set.
#[derive(Debug, Parser)]
#[command(
    name = "amlrun-stage",
    version = VERSION,
    max_term_width = 100,
    after_help = "\
All stages, by hand:
  amlrun-stage train    --data train.csv --label diagnosis --checkpoint ckpt
  amlrun-stage persist  --checkpoint ckpt --model model
  amlrun-stage register --model model --name simple-torch-model --output registered
  amlrun-stage evaluate --registered registered --data test.csv --report report

Exit codes: 0 done, 1 failed (one line says why), 2 wrong usage."
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
    /// Turn a checkpoint, or what Python saved, into a model directory, verified bit for bit
    Persist(PersistArguments),
    /// Register a model directory as a version of a model, through MLflow
    Register(RegisterArguments),
    /// Score a registered model, or a file, on test data, write a report, and fail if it is not good enough
    Evaluate(EvaluateArguments),
}

/// `train`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("first").args(["resume", "module"]))]
#[command(after_help = "\
The CSV file has a header, a label column (words or integers), and numeric columns. Inputs are
standardised; what is learned from the training rows for that is kept with the model. With the same
seed, data and options, training on the CPU gives the same weights bit for bit.

Examples:
  amlrun-stage train --data train.csv --label diagnosis --checkpoint ckpt
  amlrun-stage train --data train.csv --label y --hidden 64,32 --dropout 0.2 --optimizer adamw \\
      --weight-decay 0.01 --patience 20 --epochs 500 --checkpoint ckpt
  amlrun-stage train --data train.csv --label y --resume ckpt --epochs 200 --checkpoint ckpt

What Python saved is trained further, too: its weights are the first ones, and epochs count from 1.
The optimizer goes on with its state (Adam's averages, SGD's momentum) when the file is a checkpoint
dictionary that has it; the learning rate is an option here. A TorchScript module may be any that
takes rows of columns and gives one logit per class:
  amlrun-stage train --data train.csv --label y --resume net.pth --checkpoint ckpt
  amlrun-stage train --data train.csv --label y --module scripted.pt --checkpoint ckpt")]
pub struct TrainArguments {
    /// The training data, a CSV file
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// The column that holds the class
    #[arg(long, value_name = "COLUMN")]
    pub label: String,
    /// The folder for the checkpoint; an older checkpoint in it is replaced
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// The columns to train on [default: all but the label]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub features: Vec<String>,
    /// Train until this many epochs are done, those before --resume included
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub epochs: u64,
    /// Sizes of the hidden layers, or `none` [default: 20]
    #[arg(long, value_name = "N,…")]
    pub hidden: Option<Hidden>,
    /// Share of hidden units left out in training, 0 <= P < 1 [default: 0]
    #[arg(long, value_name = "P", value_parser = share)]
    pub dropout: Option<f64>,
    /// Rule of the updates [default: adam]
    #[arg(long)]
    pub optimizer: Option<Algorithm>,
    /// Step size [default: 0.001]
    #[arg(long, alias = "lr", value_name = "RATE", value_parser = positive)]
    pub learning_rate: Option<f64>,
    /// Momentum of sgd, 0 <= M < 1 [default: 0]
    #[arg(long, value_name = "M", value_parser = share)]
    pub momentum: Option<f64>,
    /// L2 penalty (adam, sgd) or decoupled decay (adamw) [default: 0]
    #[arg(long, value_name = "D", value_parser = not_negative)]
    pub weight_decay: Option<f64>,
    /// Rows of one update [default: 32]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub batch_size: Option<usize>,
    /// Share of each class kept out of training and scored after each epoch, 0 <= S < 1 [default: 0.1]
    #[arg(long, value_name = "S", value_parser = share)]
    pub validation_share: Option<f64>,
    /// Stop after this many epochs without a lower validation loss and keep the best weights; 0 never [default: 0]
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<u64>,
    /// Decides the validation rows, the first weights, the shuffles and the dropout [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// CPU threads; one is the fastest for small networks
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: u32,
    /// Write the checkpoint every so many epochs, and at the end
    #[arg(long, value_name = "EPOCHS", default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub checkpoint_every: u64,
    /// Go on from this checkpoint, exactly (options that are not given are taken from it), or from a file that Python
    /// saved
    #[arg(long, value_name = "DIR|FILE")]
    pub resume: Option<PathBuf>,
    /// Train this TorchScript module, scripted in Python, instead of a SimpleNet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["resume", "hidden", "dropout"])]
    pub module: Option<PathBuf>,
    /// Columns, standardisation and classes of a file that Python saved [default: those of the data]
    #[arg(long, value_name = "FILE", requires = "first")]
    pub architecture: Option<PathBuf>,
    /// Columns go into the network as they are, without standardisation
    #[arg(long, conflicts_with = "architecture")]
    pub raw: bool,
}

/// What a file that Python saved does not say.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "For files that Python saved")]
pub struct DescribeArguments {
    /// Layers, columns, standardisation and classes [default: the architecture.json beside the file]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["training_data", "label", "raw"])]
    pub architecture: Option<PathBuf>,
    /// Learn columns, standardisation (mean, deviation of all rows) and classes from this CSV file
    #[arg(long, value_name = "FILE")]
    pub training_data: Option<PathBuf>,
    /// The column that holds the class
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// The columns that go in, in order [default: all but the label]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', requires = "label")]
    pub features: Vec<String>,
    /// Columns go in as they are: the model standardises by itself, or not at all
    #[arg(long, requires = "label")]
    pub raw: bool,
}

/// `persist`.
#[derive(Debug, Args)]
#[command(after_help = "\
Always writes architecture.json (the network, its columns with their standardisation, its
classes), and the forms:
  torchscript   model.pt: the whole model; torch.jit.load needs no class definition
  safetensors   model.safetensors: the weights alone, the same names and values
  pth           model.pth: a state_dict; torch.load(weights_only=True) opens it
  mlflow        mlflow/: mlflow.pyfunc.load_model takes a table of columns as in the data
Inputs are standardised, (value - mean) / std, before they enter the first three forms; the MLflow
model does so itself. Every form is loaded back and must give the same outputs bit for bit before
the stage succeeds.

The checkpoint may be what Python saved: a state_dict, a checkpoint dictionary or a whole model of
standard layers (.pth, .pt, .safetensors), or a TorchScript module. No pickle is executed.

Examples:
  amlrun-stage persist --checkpoint ckpt --model model
  amlrun-stage persist --checkpoint ckpt --model model --format torchscript,safetensors,pth,mlflow
  amlrun-stage persist --checkpoint net.pth --training-data train.csv --label diagnosis \\
      --model model
  amlrun-stage persist --checkpoint net.pth --architecture architecture.json --model model")]
pub struct PersistArguments {
    /// The checkpoint that `train` wrote, or a file that Python saved
    #[arg(long, value_name = "DIR|FILE")]
    pub checkpoint: PathBuf,
    /// The folder for the model
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The forms to write
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
Speaks MLflow's REST API only. MLFLOW_TRACKING_URI names the server; MLFLOW_TRACKING_TOKEN, or
MLFLOW_TRACKING_USERNAME with MLFLOW_TRACKING_PASSWORD, open it. The files are uploaded as artifacts of the run
MLFLOW_RUN_ID (or AZUREML_RUN_ID), or of a new run.

Example:
  MLFLOW_TRACKING_URI=http://localhost:5000 amlrun-stage register --model model --name simple-torch-model \\
      --tag stage=nightly --output registered")]
pub struct RegisterArguments {
    /// The model directory that `persist` wrote
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The name to register it under; the server gives the next version
    #[arg(long, value_parser = model_name)]
    pub name: String,
    /// Where to write what the next step needs: a folder (registered.json in it) or a .json file
    #[arg(long, value_name = "DIR|FILE")]
    pub output: PathBuf,
    /// A description of this version
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// A tag of this version; may be given again
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub tags: Vec<(String, String)>,
    /// The folder among the run's artifacts
    #[arg(long, value_name = "PATH", default_value = "model", value_parser = artifact_path)]
    pub artifact_path: String,
}

/// `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes metrics.json, report.md, confusion_matrix.png and roc_curve.png, also when a requirement is not met.
Metrics: accuracy, precision_macro, recall_macro, f1_macro, roc_auc, log_loss, rows, and
precision_CLASS, recall_CLASS, f1_CLASS for every class.

With --model, a file or folder is scored without a registry: what `train` or `persist` wrote, or
what Python saved (a state_dict, a checkpoint dictionary, a whole model of standard layers,
safetensors, a TorchScript module). No pickle is executed.

Examples:
  amlrun-stage evaluate --registered registered --data test.csv --report report \\
      --require 'accuracy>=0.9' --require 'recall_malignant>=0.85'
  amlrun-stage evaluate --model model --data test.csv --report report
  amlrun-stage evaluate --model net.pth --training-data train.csv --label diagnosis \\
      --data test.csv --report report
  amlrun-stage evaluate --model scripted.pt --raw --label diagnosis --data test.csv --report report")]
pub struct EvaluateArguments {
    /// What `register` wrote: the folder or the file
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "model", conflicts_with = "model")]
    pub registered: Option<PathBuf>,
    /// A model on this machine: a folder or a file
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// The test data, a CSV file
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// The folder for the report
    #[arg(long, value_name = "DIR")]
    pub report: PathBuf,
    /// Which saved form to score; when both are there, they must agree bit for bit
    #[arg(long, value_enum, default_value_t = Form::Both)]
    pub form: Form,
    /// A condition on a metric (>=, >, <=, <), else the stage fails; may be given again
    #[arg(long, value_name = "CONDITION")]
    pub require: Vec<Requirement>,
    /// Where to compute: auto, cpu, cuda or cuda:N
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
    number(text).and_then(|n| if n >= 0.0 { Ok(n) } else { Err("must not be below 0".to_owned()) })
}

/// MLflow keeps model names free of path and URI separators.
fn model_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a model needs a name".to_owned()),
        _ if text.contains(['/', ':']) => Err("a model's name has no '/' and no ':'".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write --tag key=value".to_owned()),
    }
}

fn artifact_path(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if plain { Ok(text.to_owned()) } else { Err("a plain relative path, such as 'model'".to_owned()) }
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
