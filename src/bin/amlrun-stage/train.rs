//! `train`: CSV in, a checkpoint out.
//!
//! Nothing random is kept between epochs: the shuffle and the dropout of an epoch follow from the seed and the epoch's
//! number. That is why a training that is resumed ends in the same bits as one that was not interrupted.

use std::path::Path;

use amlrun::model_file::{Architecture, Tensor as FileTensor};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Reduction, Tensor};

use crate::checkpoint::{Checkpoint, EpochMetrics, MetricsFile, Progress, Provenance};
use crate::cli::TrainArguments;
use crate::data::Table;
use crate::error::StageError;
use crate::net::SimpleNet;
use crate::optimizer::Optimizer;
use crate::prepare::{Prepared, Rows, prepare};
use crate::progress::{self, Epochs};
use crate::run::Recorder;
use crate::settings::Settings;

/// The version of libtorch that this program was built with.
pub const LIBTORCH_VERSION: &str = env!("AMLRUN_LIBTORCH_VERSION");

/// Shuffles draw from streams of their own: 0 is for the first weights, 1 for the split.
const FIRST_EPOCH_STREAM: u64 = 1000;

/// Runs the stage.
///
/// # Errors
/// When the data, the checkpoint to resume or the device are not what is needed.
pub fn train(arguments: &TrainArguments) -> Result<(), StageError> {
    let device = arguments.device.resolve()?;
    tch::set_num_threads(i32::try_from(arguments.threads).unwrap_or(i32::MAX));
    let earlier = arguments.resume.as_deref().map(Checkpoint::read).transpose()?;
    let base = earlier.as_ref().map_or_else(Settings::default, |checkpoint| checkpoint.provenance.settings.clone());
    let settings = Settings::from_arguments(arguments, &base);
    if earlier.is_some() {
        settings.check_resumes(&base)?;
    }
    let table = Table::read(&arguments.data)?;
    let Prepared { architecture, training, validation } =
        prepare(arguments, &settings, &table, earlier.as_ref(), device)?;
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
    };
    let checkpoint = match earlier {
        Some(checkpoint) => {
            if checkpoint.provenance.data_digest != provenance.data_digest {
                progress::warn("the data differ from those of the checkpoint: training goes on, but not exactly");
            }
            Checkpoint { provenance, ..checkpoint }
        }
        None => fresh(&architecture, &settings, provenance)?,
    };
    progress::say(format!(
        "SimpleNet {} on {}: {} training rows, {} validation rows, {}",
        architecture.shape(),
        crate::device::name(device),
        training.count,
        validation.count,
        arguments.resume.as_ref().map_or_else(
            || format!("seed {}", settings.seed),
            |from| format!("resuming {} after epoch {}", from.display(), checkpoint.progress.epoch)
        )
    ));
    run_epochs(arguments, &settings, checkpoint, &training, &validation, device)
}

/// A checkpoint before the first epoch.
fn fresh(architecture: &Architecture, settings: &Settings, provenance: Provenance) -> Result<Checkpoint, StageError> {
    let net = SimpleNet::new(architecture, settings.seed, Device::Cpu)?;
    let weights = net.state()?;
    let mut optimizer = Optimizer::new(settings, net.parameters())?.state()?;
    optimizer.extend(renamed(&weights, |name| format!("{CURRENT}{name}"))?);
    Ok(Checkpoint {
        architecture: architecture.clone(),
        weights,
        optimizer,
        progress: Progress::default(),
        provenance,
        metrics: Vec::new(),
    })
}

/// The prefix of the current weights in the optimizer's file; with early stopping the model's weights are older ones.
const CURRENT: &str = "parameter.";

fn renamed(tensors: &[FileTensor], name: impl Fn(&str) -> String) -> Result<Vec<FileTensor>, StageError> {
    let rename = |t: &FileTensor| FileTensor::new(name(t.name()), t.dtype(), t.shape().to_vec(), t.bytes().to_vec());
    Ok(tensors.iter().map(rename).collect::<Result<_, _>>()?)
}

/// The epochs after the checkpoint's up to `--epochs`.
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
    let net = SimpleNet::from_state(&checkpoint.architecture, &current, device)?;
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
        let metrics = run_epoch(epoch, settings, &net, &mut optimizer, training, validation)?;
        if !metrics.train_loss.is_finite() {
            bar.finish();
            recorder.finish(false);
            return Err(StageError::message(format!(
                "the loss is {} in epoch {epoch}: training runs away. Try a smaller --learning-rate; \
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
            checkpoint.weights = net.state()?;
        }
        checkpoint.progress.stopped_early = out_of_patience(&checkpoint.progress, settings);
        written = epoch.is_multiple_of(arguments.checkpoint_every) || epoch == arguments.epochs;
        if written {
            save(&mut checkpoint, &net, &optimizer, &arguments.checkpoint)?;
        }
    }
    if !written {
        save(&mut checkpoint, &net, &optimizer, &arguments.checkpoint)?;
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

fn save(checkpoint: &mut Checkpoint, net: &SimpleNet, optimizer: &Optimizer, folder: &Path) -> Result<(), StageError> {
    checkpoint.optimizer = optimizer.state()?;
    checkpoint.optimizer.extend(renamed(&net.state()?, |name| format!("{CURRENT}{name}"))?);
    checkpoint.provenance.created = jiff::Timestamp::now().to_string();
    checkpoint.write(folder)
}

/// One pass over the training rows in an order that only this epoch has, then the validation rows.
fn run_epoch(
    epoch: u64,
    settings: &Settings,
    net: &SimpleNet,
    optimizer: &mut Optimizer,
    training: &Rows,
    validation: &Rows,
) -> Result<EpochMetrics, StageError> {
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    random.set_stream(FIRST_EPOCH_STREAM + epoch);
    let mut order: Vec<i64> = (0..i64::try_from(training.count).unwrap_or(i64::MAX)).collect();
    order.shuffle(&mut random);
    // Dropout draws from libtorch's generator; it starts anew each epoch.
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

/// Loss and accuracy without training.
fn score(net: &SimpleNet, rows: &Rows) -> Result<(f64, f64), StageError> {
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

/// What fits beside a bar in eighty columns.
fn short(metrics: &EpochMetrics) -> String {
    let validation = metrics.validation_loss.zip(metrics.validation_accuracy);
    let validation = validation.map_or_else(String::new, |(loss, share)| format!(" · val {loss:.4} acc {share:.3}"));
    format!("loss {:.4} acc {:.3}{validation}", metrics.train_loss, metrics.train_accuracy)
}

fn conclude(checkpoint: &Checkpoint, first: u64, epochs: u64, folder: &Path) {
    let done = checkpoint.progress.epoch;
    if first > epochs {
        progress::say(format!("nothing to train: the checkpoint is at epoch {done}, --epochs is {epochs}"));
    } else if checkpoint.progress.stopped_early {
        let best = checkpoint.progress.best_epoch;
        progress::say(format!("stopped early after epoch {done}; the weights are those of epoch {best}"));
    }
    progress::say(format!("checkpoint of epoch {done} in {}", folder.display()));
}
