//! `train`: trains a network on a CSV file, and writes a checkpoint.
//!
//! No random state is kept between epochs: the shuffle and the dropout of an epoch depend only on the seed and the
//! epoch's number. So a resumed training ends with bitwise the same weights as an uninterrupted one.

use std::fs;
use std::path::Path;

use amlrun::model_file::architecture::Kind as NetKind;
use amlrun::model_file::{Architecture, Tensor as FileTensor};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Reduction, Tensor};

use crate::checkpoint::{Checkpoint, EpochMetrics, MetricsFile, Progress, Provenance};
use crate::cli::{DescribeArguments, TrainArguments};
use crate::data::Table;
use crate::describe;
use crate::error::{StageError, io_error};
use crate::imported_model::{Described, Ends, Given};
use crate::model_dir::LIBTORCH_VERSION;
use crate::model_dir::digest;
use crate::net::SimpleNet;
use crate::optimizer::Optimizer;
use crate::prepare::{Prepared, Rows, prepare};
use crate::progress::{self, Epochs};
use crate::run::Recorder;
use crate::scripted::{Network, State, check_shape};
use crate::settings::Algorithm;
use crate::settings::{Hidden, Settings};

/// The first random stream for shuffles. Stream 0 is for the initial weights, stream 1 for the split.
const FIRST_EPOCH_STREAM: u64 = 1000;

/// Runs the stage.
///
/// # Errors
/// When the data, the earlier model or the device cannot be used.
pub fn train(arguments: &TrainArguments) -> Result<(), StageError> {
    let device = arguments.device.resolve()?;
    tch::set_num_threads(i32::try_from(arguments.threads).unwrap_or(i32::MAX));
    let from = arguments.resume.as_deref().or(arguments.module.as_deref());
    let is_checkpoint = |path: &Path| path.is_dir() && arguments.module.is_none();
    let earlier = from.filter(|path| is_checkpoint(path)).map(Checkpoint::read).transpose()?;
    let base = earlier.as_ref().map_or_else(Settings::default, |checkpoint| checkpoint.provenance.settings.clone());
    let mut settings = Settings::from_arguments(arguments, &base);
    if earlier.is_some() {
        settings.check_resumes(&base)?;
        if arguments.raw || arguments.architecture.is_some() {
            return Err(StageError::message("a checkpoint has its own description: remove --raw and --architecture"));
        }
    }
    let table = Table::read(&arguments.data)?;
    let known = earlier.as_ref().map(|checkpoint| &checkpoint.architecture);
    let mut given = None;
    let mut prepared = prepare(arguments, &settings, &table, known, device)?;
    if let Some(file) = from.filter(|path| !is_checkpoint(path)) {
        let model = first_model(arguments, file, &prepared.architecture)?;
        settings.hidden.clone_from(&model.architecture.hidden);
        settings.dropout = model.architecture.dropout;
        // The description of the file may use another standardisation.
        prepared = prepare(arguments, &settings, &table, Some(&model.architecture), device)?;
        given = Some(model);
    }
    let Prepared { architecture, training, validation } = prepared;
    let begun_with = given.as_ref().map(|model| {
        let name = model.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::read(&model.path).map_err(io_error(&model.path)).map(|bytes| format!("{name} {}", digest(&bytes)))
    });
    let provenance = Provenance {
        amlrun_version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch_version: LIBTORCH_VERSION.to_owned(),
        created: jiff::Timestamp::now().to_string(),
        settings: settings.clone(),
        data: arguments.data.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        data_digest: table.digest().to_owned(),
        training_rows: training.count,
        validation_rows: validation.count,
        device: crate::device::name(device),
        threads: arguments.threads,
        begun_with: match &earlier {
            Some(checkpoint) => checkpoint.provenance.begun_with.clone(),
            None => begun_with.transpose()?,
        },
    };
    let checkpoint = match earlier {
        Some(checkpoint) => {
            if checkpoint.provenance.data_digest != provenance.data_digest {
                progress::warn(
                    "the data differs from that of the checkpoint: training continues, but not exactly where it stopped",
                );
            }
            Checkpoint { provenance, ..checkpoint }
        }
        None => fresh(&architecture, &settings, provenance, given)?,
    };
    progress::say(format!(
        "{} {} on {}: {} training rows, {} validation rows, {}",
        architecture.kind,
        architecture.shape(),
        crate::device::name(device),
        training.count,
        validation.count,
        from.map_or_else(
            || format!("seed {}", settings.seed),
            |from| match checkpoint.progress.epoch {
                0 => format!("starting from {}", from.display()),
                epoch => format!("resuming {} after epoch {epoch}", from.display()),
            }
        )
    ));
    run_epochs(arguments, &settings, checkpoint, &training, &validation, device)
}

/// The model saved by Python, described by its own `architecture.json` or by the data.
fn first_model(arguments: &TrainArguments, file: &Path, data: &Architecture) -> Result<Given, StageError> {
    let describe =
        DescribeArguments { architecture: arguments.architecture.clone(), raw: arguments.raw, ..Default::default() };
    let described = match describe::architecture_file(&describe, file) {
        Some(path) => Described::Whole(Architecture::read(&path)?),
        None => Described::Ends(Ends {
            features: data.features.clone(),
            label: data.label.clone(),
            classes: data.classes.clone(),
        }),
    };
    let mut model = Given::read(file, &described)?;
    if arguments.module.is_some() && model.module.is_none() {
        return Err(StageError::message(format!(
            "{} is not a TorchScript file: save the model with torch.jit.script(model).save('model.pt'), or use its \
            weights with --resume",
            model.path.display()
        )));
    }
    if model.module.is_none() {
        if arguments.hidden.as_ref().is_some_and(|hidden| hidden.0 != model.architecture.hidden) {
            let hidden = Hidden(model.architecture.hidden.clone());
            return Err(StageError::message(format!(
                "{} has hidden layers of {hidden}: remove --hidden",
                model.path.display()
            )));
        }
        model.architecture.dropout = arguments.dropout.unwrap_or(model.architecture.dropout);
    }
    Ok(model)
}

/// A checkpoint before the first epoch, with new weights or the given ones.
fn fresh(
    architecture: &Architecture,
    settings: &Settings,
    provenance: Provenance,
    given: Option<Given>,
) -> Result<Checkpoint, StageError> {
    let mut adopted = Vec::new();
    let state = match given {
        Some(model) if model.module.is_none() => {
            adopted = model.optimizer;
            State { weights: model.weights, module: None }
        }
        Some(model) => State { weights: model.weights, module: model.module },
        None => State { weights: SimpleNet::new(architecture, settings.seed, Device::Cpu)?.state()?, module: None },
    };
    let net = Network::new(architecture, &state, Device::Cpu)?;
    let mut optimizer = Optimizer::new(settings, net.parameters())?.state()?;
    // SGD has no step count in Python. For the other algorithms, the averages are useless without it.
    let needed = |tensor: &FileTensor| settings.optimizer != Algorithm::Sgd || tensor.name() != "step";
    if !adopted.is_empty() {
        let find = |name: &str| adopted.iter().find(|tensor| tensor.name() == name).cloned();
        if optimizer.iter().filter(|tensor| needed(tensor)).all(|tensor| find(tensor.name()).is_some()) {
            for tensor in &mut optimizer {
                *tensor = find(tensor.name()).unwrap_or_else(|| tensor.clone());
            }
            progress::say(format!("using the optimizer state ({}) of the file", settings.optimizer));
        } else {
            progress::say(format!(
                "the file has no state of the optimizer {}: it starts without state",
                settings.optimizer
            ));
        }
    }
    if state.module.is_none() {
        optimizer.extend(renamed(&state.weights, |name| format!("{CURRENT}{name}"))?);
    }
    Ok(Checkpoint {
        architecture: architecture.clone(),
        current: state.module.clone(),
        module: state.module,
        weights: state.weights,
        optimizer,
        progress: Progress::default(),
        provenance,
        metrics: Vec::new(),
    })
}

/// The prefix of the current weights in the optimizer's file. With early stopping, the model's weights are older ones.
const CURRENT: &str = "parameter.";

fn renamed(tensors: &[FileTensor], name: impl Fn(&str) -> String) -> Result<Vec<FileTensor>, StageError> {
    let rename = |t: &FileTensor| FileTensor::new(name(t.name()), t.dtype(), t.shape().to_vec(), t.bytes().to_vec());
    Ok(tensors.iter().map(rename).collect::<Result<_, _>>()?)
}

/// Runs the epochs after the checkpoint's, up to `--epochs`.
fn run_epochs(
    arguments: &TrainArguments,
    settings: &Settings,
    mut checkpoint: Checkpoint,
    training: &Rows,
    validation: &Rows,
    device: Device,
) -> Result<(), StageError> {
    let current: Vec<FileTensor> =
        checkpoint.optimizer.iter().filter(|tensor| tensor.name().starts_with(CURRENT)).cloned().collect();
    let current = renamed(&current, |name| name.strip_prefix(CURRENT).unwrap_or(name).to_owned())?;
    let state = State { weights: current, module: checkpoint.current.take() };
    let mut net = Network::new(&checkpoint.architecture, &state, device)?;
    check_first_row(&mut net, &checkpoint.architecture, training)?;
    let mut optimizer = Optimizer::new(settings, net.parameters())?;
    optimizer.load(&checkpoint.optimizer, device)?;
    let mut recorder = Recorder::start(settings, &checkpoint.provenance, arguments.epochs);
    let first = checkpoint.progress.epoch + 1;
    let bar = Epochs::new(first, arguments.epochs);
    let mut written = false;
    let mut file = MetricsFile::begin(&arguments.checkpoint, &checkpoint.metrics)?;

    for epoch in first..=arguments.epochs {
        if out_of_patience(&checkpoint.progress, settings) {
            break;
        }
        let metrics = run_epoch(epoch, settings, &mut net, &mut optimizer, training, validation)?;
        if !metrics.train_loss.is_finite() {
            bar.finish();
            recorder.finish(false);
            return Err(StageError::message(format!(
                "the loss is {} in epoch {epoch}: training diverges. Use a smaller --learning-rate; \
                the checkpoint of an earlier epoch, if any, is kept",
                metrics.train_loss
            )));
        }
        bar.done(epoch, &line(&metrics), &short(&metrics));
        file.append(&metrics)?;
        recorder.epoch(&metrics, |text| bar.warn(text));
        let loss = metrics.validation_loss.unwrap_or(metrics.train_loss);
        checkpoint.metrics.push(metrics);
        checkpoint.progress.epoch = epoch;
        let better = checkpoint.progress.best_loss.is_none_or(|best| loss < best);
        if better {
            checkpoint.progress.best_loss = Some(loss);
            checkpoint.progress.best_epoch = epoch;
        }
        if better || settings.patience == 0 {
            let state = net.state(&arguments.checkpoint)?;
            (checkpoint.weights, checkpoint.module) = (state.weights, state.module);
        }
        checkpoint.progress.stopped_early = out_of_patience(&checkpoint.progress, settings);
        written = epoch.is_multiple_of(arguments.checkpoint_every) || epoch == arguments.epochs;
        if written {
            save(&mut checkpoint, &mut net, &optimizer, &arguments.checkpoint)?;
        }
    }
    if !written {
        save(&mut checkpoint, &mut net, &optimizer, &arguments.checkpoint)?;
    }
    bar.finish();
    recorder.flush(|text| bar.warn(text));
    recorder.finish(true);
    conclude(&checkpoint, first, arguments.epochs, &arguments.checkpoint);
    Ok(())
}

fn out_of_patience(progress: &Progress, settings: &Settings) -> bool {
    settings.patience > 0 && progress.epoch > 0 && progress.epoch - progress.best_epoch >= settings.patience
}

fn save(
    checkpoint: &mut Checkpoint,
    net: &mut Network,
    optimizer: &Optimizer,
    folder: &Path,
) -> Result<(), StageError> {
    let state = net.state(folder)?;
    checkpoint.optimizer = optimizer.state()?;
    if state.module.is_none() {
        checkpoint.optimizer.extend(renamed(&state.weights, |name| format!("{CURRENT}{name}"))?);
    }
    checkpoint.current = state.module;
    checkpoint.provenance.created = jiff::Timestamp::now().to_string();
    checkpoint.write(folder)
}

/// An imported module may have any inputs and outputs. This checks them before the first epoch.
fn check_first_row(net: &mut Network, architecture: &Architecture, rows: &Rows) -> Result<(), StageError> {
    if architecture.kind == NetKind::SimpleNet {
        return Ok(());
    }
    let columns = architecture.features.len();
    let first = rows.inputs.f_narrow(0, 0, 1)?;
    let output = tch::no_grad(|| net.forward(&first, false)).map_err(|error| {
        StageError::message(format!("the module does not accept rows of {columns} columns: {error}"))
    })?;
    check_shape(&output, &first, architecture.classes.len()).map_err(StageError::Message)
}

/// One pass over the training rows, in an order specific to this epoch, and then over the validation rows.
fn run_epoch(
    epoch: u64,
    settings: &Settings,
    net: &mut Network,
    optimizer: &mut Optimizer,
    training: &Rows,
    validation: &Rows,
) -> Result<EpochMetrics, StageError> {
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    random.set_stream(FIRST_EPOCH_STREAM + epoch);
    let mut order: Vec<i64> = (0..i64::try_from(training.count).unwrap_or(i64::MAX)).collect();
    order.shuffle(&mut random);
    // Dropout uses libtorch's generator, which is seeded anew for each epoch.
    tch::manual_seed(i64::from_le_bytes(random.next_u64().to_le_bytes()));
    let (mut loss_sum, mut right) = (0.0, 0.0);
    for batch in order.chunks(settings.batch_size) {
        let rows = Tensor::f_from_slice(batch)?.f_to_device(training.inputs.device())?;
        let inputs = training.inputs.f_index_select(0, &rows)?;
        let classes = training.classes.f_index_select(0, &rows)?;
        let logits = net.forward(&inputs, true)?;
        let loss = cross_entropy(&logits, &classes)?;
        loss.f_backward()?;
        optimizer.step(net.parameters())?;
        loss_sum += loss.double_value(&[]) * batch.len() as f64;
        right += count_right(&logits, &classes)?;
    }
    let count = training.count as f64;
    let scored = (validation.count > 0).then(|| score(net, validation)).transpose()?;
    Ok(EpochMetrics {
        epoch,
        train_loss: loss_sum / count,
        train_accuracy: right / count,
        validation_loss: scored.map(|(loss, _)| loss),
        validation_accuracy: scored.map(|(_, accuracy)| accuracy),
    })
}

/// The loss and accuracy, without training.
fn score(net: &mut Network, rows: &Rows) -> Result<(f64, f64), StageError> {
    tch::no_grad(|| {
        let logits = net.forward(&rows.inputs, false)?;
        let loss = cross_entropy(&logits, &rows.classes)?.double_value(&[]);
        Ok((loss, count_right(&logits, &rows.classes)? / rows.count as f64))
    })
}

/// The mean over the rows.
fn cross_entropy(logits: &Tensor, classes: &Tensor) -> Result<Tensor, StageError> {
    let no_weights: Option<&Tensor> = None;
    Ok(logits.f_log_softmax(-1, Kind::Float)?.f_nll_loss(classes, no_weights, Reduction::Mean, -100)?)
}

fn count_right(logits: &Tensor, classes: &Tensor) -> Result<f64, StageError> {
    Ok(logits.f_argmax(-1, false)?.f_eq_tensor(classes)?.f_sum(Kind::Int64)?.double_value(&[]))
}

fn line(metrics: &EpochMetrics) -> String {
    let (loss, accuracy) = (metrics.train_loss, metrics.train_accuracy);
    match (metrics.validation_loss, metrics.validation_accuracy) {
        (Some(held_out), Some(share)) => {
            format!("loss {loss:.4} (val {held_out:.4})  accuracy {accuracy:.3} (val {share:.3})")
        }
        _ => format!("loss {loss:.4}  accuracy {accuracy:.3}"),
    }
}

/// The metrics that fit beside a bar in eighty columns.
fn short(metrics: &EpochMetrics) -> String {
    let validation = metrics.validation_loss.zip(metrics.validation_accuracy);
    let validation = validation.map_or_else(String::new, |(loss, share)| format!(" · val {loss:.4} acc {share:.3}"));
    format!("loss {:.4} acc {:.3}{validation}", metrics.train_loss, metrics.train_accuracy)
}

fn conclude(checkpoint: &Checkpoint, first: u64, epochs: u64, folder: &Path) {
    let done = checkpoint.progress.epoch;
    if first > epochs {
        progress::say(format!("nothing to train: the checkpoint is at epoch {done}, and --epochs is {epochs}"));
    } else if checkpoint.progress.stopped_early {
        let best = checkpoint.progress.best_epoch;
        progress::say(format!("stopped early after epoch {done}; the weights are those of epoch {best}"));
    }
    progress::say(format!("checkpoint of epoch {done} in {}", folder.display()));
}

impl Settings {
    /// The given options. Others come from `base` (a checkpoint's settings, or the defaults).
    pub fn from_arguments(arguments: &TrainArguments, base: &Self) -> Self {
        Self {
            hidden: arguments.hidden.as_ref().map_or_else(|| base.hidden.clone(), |hidden| hidden.0.clone()),
            dropout: arguments.dropout.unwrap_or(base.dropout),
            optimizer: arguments.optimizer.unwrap_or(base.optimizer),
            learning_rate: arguments.learning_rate.unwrap_or(base.learning_rate),
            momentum: arguments.momentum.unwrap_or(base.momentum),
            weight_decay: arguments.weight_decay.unwrap_or(base.weight_decay),
            batch_size: arguments.batch_size.unwrap_or(base.batch_size),
            validation_share: arguments.validation_share.unwrap_or(base.validation_share),
            patience: arguments.patience.unwrap_or(base.patience),
            seed: arguments.seed.unwrap_or(base.seed),
        }
    }
}
