//! `persist`: writes a model folder from a checkpoint or a file saved by Python, in the common formats of torch models.
//!
//! Each format is read back from disk, and must give bitwise the same outputs as the network in memory.

use std::fs;
use std::path::Path;

use amlrun::model_file::architecture::Kind as NetKind;
use amlrun::model_file::{
    self, Architecture, ModelFile, Tensor as FileTensor, safetensors, save, torchscript, write_file,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

use crate::checkpoint::{Checkpoint, holds_checkpoint};
use crate::cli::{Format, PersistArguments};
use crate::describe::described;
use crate::error::{StageError, io_error};
use crate::imported_model::{Given, tensors_of};
use crate::model_dir::{ARCHITECTURE, STATE_DICT, TORCHSCRIPT};
use crate::net::{SimpleNet, matrix, same_bits};
use crate::scripted;
use crate::{progress, pyfunc};

/// The weights in the format of `torch.save`.
pub const PTH: &str = "model.pth";
/// The MLflow model.
pub const MLFLOW: &str = "mlflow";

/// The number of rows of the batch on which the formats are compared.
const SAMPLE_ROWS: usize = 64;

/// Runs the stage.
///
/// # Errors
/// When there is no complete checkpoint or model, or a format does not read back unchanged.
pub fn persist(arguments: &PersistArguments) -> Result<(), StageError> {
    let given = model_at(arguments)?;
    let (architecture, weights, folder) = (&given.architecture, &given.weights, &arguments.model);
    // A module that was scripted in Python is copied unchanged.
    let module = match &given.module {
        Some(bytes) => bytes.clone(),
        None => torchscript::to_bytes(architecture, weights)?,
    };
    let input = sample(architecture)?;
    let expected = computed(&given, &input)?;
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    architecture.write(&folder.join(ARCHITECTURE))?;
    let mut forms: Vec<Format> = Vec::new();
    for format in &arguments.format {
        if !forms.contains(format) {
            forms.push(*format);
        }
    }
    let mut written = vec![ARCHITECTURE.to_owned()];
    for format in &forms {
        let path = folder.join(file_of(*format));
        match format {
            Format::Torchscript => write_file(&path, &module)?,
            Format::Safetensors => safetensors::write(&path, weights)?,
            Format::Pth => save::pth::write_tensors(&path, weights)?,
            Format::Mlflow => pyfunc::write(&path, architecture, &module)?,
        }
        let file = if *format == Format::Mlflow { path.join("data").join(TORCHSCRIPT) } else { path.clone() };
        match format {
            Format::Torchscript | Format::Mlflow => verify_torchscript(&file, weights, &input, &expected)?,
            Format::Safetensors => {
                verify_state_dict(&file, architecture, &safetensors::read(&file)?, weights, &input, &expected)?;
            }
            Format::Pth => {
                let found = tensors_of(&ModelFile::open(&file)?.contents)?;
                verify_state_dict(&file, architecture, &found, weights, &input, &expected)?;
            }
        }
        written.push(file_of(*format).to_owned());
    }
    for name in &written {
        let path = folder.join(name);
        if path.is_dir() {
            progress::say(format!("{name}/"));
        } else {
            let size = fs::metadata(&path).map_err(io_error(&path))?.len();
            progress::say(format!("{name:<18} {size:>8} bytes"));
        }
    }
    stale(folder, &forms);
    let count = match forms.len() {
        1 => "the format".to_owned(),
        2 => "both formats".to_owned(),
        more => format!("all {more} formats"),
    };
    progress::say(format!(
        "{count} of {} {} verified: same tensors, same outputs on {SAMPLE_ROWS} rows, bit for bit",
        architecture.kind,
        architecture.shape()
    ));
    Ok(())
}

/// The given checkpoint or file.
fn model_at(arguments: &PersistArguments) -> Result<Given, StageError> {
    let path = &arguments.checkpoint;
    if !path.is_dir() || !holds_checkpoint(path) {
        let no_model = |error: model_file::Error| {
            if path.is_dir() {
                StageError::message(format!(
                    "{} contains no checkpoint (it has no file 'latest'): {error}",
                    path.display()
                ))
            } else {
                error.into()
            }
        };
        ModelFile::open(path).map_err(no_model)?;
        return Given::read(path, &described(&arguments.describe, path, None)?);
    }
    let checkpoint = Checkpoint::read(path)?;
    Ok(Given {
        architecture: checkpoint.architecture,
        weights: checkpoint.weights,
        module: checkpoint.module,
        optimizer: checkpoint.optimizer,
        path: path.clone(),
    })
}

fn file_of(format: Format) -> &'static str {
    match format {
        Format::Torchscript => TORCHSCRIPT,
        Format::Safetensors => STATE_DICT,
        Format::Pth => PTH,
        Format::Mlflow => MLFLOW,
    }
}

/// Warns about files in other formats from an earlier call, which may belong to another model.
fn stale(folder: &Path, forms: &[Format]) {
    for format in [Format::Torchscript, Format::Safetensors, Format::Pth, Format::Mlflow] {
        if !forms.contains(&format) && folder.join(file_of(format)).exists() {
            progress::warn(format!(
                "{} already existed and was not written: it may be another model",
                folder.join(file_of(format)).display()
            ));
        }
    }
}

/// The outputs of the model in memory.
fn computed(given: &Given, input: &Tensor) -> Result<Tensor, StageError> {
    match (&given.module, given.architecture.kind) {
        (Some(bytes), _) => {
            let module = scripted::load(bytes.as_slice(), &given.path, Device::Cpu)?;
            scripted::logits(&module, input, given.architecture.classes.len(), &given.path)
        }
        (None, NetKind::SimpleNet) => {
            let net = SimpleNet::from_state(&given.architecture, &given.weights, Device::Cpu)?;
            tch::no_grad(|| net.forward(input, false))
        }
        (None, NetKind::TorchScript) => Err(StageError::message(format!("{} has no module", given.path.display()))),
    }
}

/// A fixed batch of standardised rows.
fn sample(architecture: &Architecture) -> Result<Tensor, StageError> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let width = architecture.features.len();
    let values: Vec<f32> = (0..SAMPLE_ROWS * width).map(|_| random.random_range(-3.0..3.0)).collect();
    matrix(&values, width, Device::Cpu)
}

/// Loads the TorchScript file and compares names, values and outputs.
fn verify_torchscript(
    path: &Path,
    weights: &[FileTensor],
    input: &Tensor,
    expected: &Tensor,
) -> Result<(), StageError> {
    compare(path, &tensors_of(&ModelFile::open(path)?.contents)?, weights)?;
    let module = scripted::load(fs::File::open(path).map_err(io_error(path))?, path, Device::Cpu)?;
    let output = tch::no_grad(|| module.forward_ts(&[input]))?;
    check_output(path, &output, expected)
}

/// Compares the weights that were read back, and the outputs of a network with them.
fn verify_state_dict(
    path: &Path,
    architecture: &Architecture,
    found: &[FileTensor],
    weights: &[FileTensor],
    input: &Tensor,
    expected: &Tensor,
) -> Result<(), StageError> {
    compare(path, found, weights)?;
    if architecture.kind == NetKind::TorchScript {
        return Ok(()); // its code is in the module only
    }
    let net = SimpleNet::from_state(architecture, found, Device::Cpu)?;
    check_output(path, &tch::no_grad(|| net.forward(input, false))?, expected)
}

/// Checks that both have the same tensors. The message names the first difference.
fn compare(path: &Path, found: &[FileTensor], wanted: &[FileTensor]) -> Result<(), StageError> {
    let differs = |name: &str, how: &str| {
        Err(StageError::message(format!("{}: tensor '{name}' {how} when loaded again", path.display())))
    };
    for tensor in wanted {
        match found.iter().find(|other| other.name() == tensor.name()) {
            None => return differs(tensor.name(), "is missing"),
            Some(other) if other != tensor => return differs(tensor.name(), "has different values"),
            Some(_) => {}
        }
    }
    match found.iter().find(|tensor| !wanted.iter().any(|other| other.name() == tensor.name())) {
        Some(tensor) => differs(tensor.name(), "is not in the model"),
        None => Ok(()),
    }
}

fn check_output(path: &Path, output: &Tensor, expected: &Tensor) -> Result<(), StageError> {
    if same_bits(output, expected)? {
        return Ok(());
    }
    Err(StageError::message(format!("{}: gives different outputs when loaded again", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_tensor() {
        let tensor = |name: &str, value: f32| FileTensor::from_f32(name, vec![1], &[value]).unwrap();
        let wanted = [tensor("fc1.weight", 1.0), tensor("fc1.bias", 2.0)];
        let check = |found: &[FileTensor]| compare(Path::new("model.pt"), found, &wanted).unwrap_err().to_string();
        assert_eq!(check(&wanted[..1]), "model.pt: tensor 'fc1.bias' is missing when loaded again");
        assert_eq!(
            check(&[tensor("fc1.weight", 1.0), tensor("fc1.bias", 2.5)]),
            "model.pt: tensor 'fc1.bias' has different values when loaded again"
        );
        let more = [wanted[0].clone(), wanted[1].clone(), tensor("fc9.bias", 0.0)];
        assert_eq!(check(&more), "model.pt: tensor 'fc9.bias' is not in the model when loaded again");
    }
}
