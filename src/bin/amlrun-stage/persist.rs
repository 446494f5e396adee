//! `persist`: a checkpoint in, a model directory out, in the ways that people save torch models.
//!
//! Each form is loaded back from disk and must give the same bits as the network in memory before the stage succeeds.

use std::fs;
use std::io::Read;
use std::path::Path;

use amlrun::model_file::{Architecture, Tensor as FileTensor, safetensors, torchscript};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{CModule, Device, Tensor};

use crate::checkpoint::Checkpoint;
use crate::cli::PersistArguments;
use crate::error::{StageError, io_error};
use crate::net::{SimpleNet, from_torch, matrix, same_bits};
use crate::progress;

/// The whole model as TorchScript.
pub const TORCHSCRIPT: &str = "model.pt";
/// The weights alone.
pub const STATE_DICT: &str = "model.safetensors";
/// The description from which the weights become a network again.
pub const ARCHITECTURE: &str = "architecture.json";

/// Rows of the batch on which the forms are compared.
const SAMPLE_ROWS: usize = 64;

/// Runs the stage.
///
/// # Errors
/// When there is no whole checkpoint, or a form does not load back as it was.
pub fn persist(arguments: &PersistArguments) -> Result<(), StageError> {
    let checkpoint = Checkpoint::read(&arguments.checkpoint)?;
    let (architecture, weights) = (&checkpoint.architecture, &checkpoint.weights);
    let folder = &arguments.model;
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    torchscript::write(&folder.join(TORCHSCRIPT), architecture, weights)?;
    safetensors::write(&folder.join(STATE_DICT), weights)?;
    architecture.write(&folder.join(ARCHITECTURE))?;

    let net = SimpleNet::from_state(architecture, weights, Device::Cpu)?;
    let input = sample(architecture)?;
    let expected = tch::no_grad(|| net.forward(&input, false))?;
    verify_torchscript(&folder.join(TORCHSCRIPT), weights, &input, &expected)?;
    verify_state_dict(folder, weights, &input, &expected)?;
    for name in [TORCHSCRIPT, STATE_DICT, ARCHITECTURE] {
        let size = fs::metadata(folder.join(name)).map_err(io_error(&folder.join(name)))?.len();
        progress::say(format!("{name:<18} {size:>8} bytes"));
    }
    progress::say(format!(
        "both forms of SimpleNet {} loaded back: the same tensors, the same outputs on {SAMPLE_ROWS} rows, bit for bit",
        architecture.shape()
    ));
    Ok(())
}

/// A batch of standardised rows, always the same.
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
    let module = load_torchscript(fs::File::open(path).map_err(io_error(path))?, path)?;
    let found: Vec<FileTensor> =
        module.named_parameters()?.iter().map(|(name, tensor)| from_torch(name, tensor)).collect::<Result<_, _>>()?;
    compare(path, &found, weights)?;
    let output = tch::no_grad(|| module.forward_ts(&[input]))?;
    check_output(path, &output, expected)
}

/// Loads the weights and the description, and compares values and outputs.
fn verify_state_dict(
    folder: &Path,
    weights: &[FileTensor],
    input: &Tensor,
    expected: &Tensor,
) -> Result<(), StageError> {
    let path = folder.join(STATE_DICT);
    let found = safetensors::read(&path)?;
    compare(&path, &found, weights)?;
    let net = SimpleNet::from_state(&Architecture::read(&folder.join(ARCHITECTURE))?, &found, Device::Cpu)?;
    check_output(&path, &tch::no_grad(|| net.forward(input, false))?, expected)
}

/// The bytes of a TorchScript file as a module that computes; `path` is only named in errors.
///
/// # Errors
/// When libtorch does not read it.
pub fn load_torchscript(mut bytes: impl Read, path: &Path) -> Result<CModule, StageError> {
    CModule::load_data(&mut bytes)
        .map_err(|error| StageError::message(format!("{}: {}", path.display(), StageError::Torch(error))))
}

/// Both must hold the same tensors; the message names the first that differs.
fn compare(path: &Path, found: &[FileTensor], wanted: &[FileTensor]) -> Result<(), StageError> {
    let differs = |name: &str, how: &str| {
        Err(StageError::message(format!("{}: tensor '{name}' {how} when loaded back", path.display())))
    };
    for tensor in wanted {
        match found.iter().find(|other| other.name() == tensor.name()) {
            None => return differs(tensor.name(), "is missing"),
            Some(other) if other != tensor => return differs(tensor.name(), "has other values"),
            Some(_) => {}
        }
    }
    match found.iter().find(|tensor| !wanted.iter().any(|other| other.name() == tensor.name())) {
        Some(tensor) => differs(tensor.name(), "is one too many"),
        None => Ok(()),
    }
}

fn check_output(path: &Path, output: &Tensor, expected: &Tensor) -> Result<(), StageError> {
    if same_bits(output, expected)? {
        return Ok(());
    }
    Err(StageError::message(format!("{}: gives other outputs when loaded back", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_tensor() {
        let tensor = |name: &str, value: f32| FileTensor::from_f32(name, vec![1], &[value]).unwrap();
        let wanted = [tensor("fc1.weight", 1.0), tensor("fc1.bias", 2.0)];
        let check = |found: &[FileTensor]| compare(Path::new("model.pt"), found, &wanted).unwrap_err().to_string();
        assert_eq!(check(&wanted[..1]), "model.pt: tensor 'fc1.bias' is missing when loaded back");
        assert_eq!(
            check(&[tensor("fc1.weight", 1.0), tensor("fc1.bias", 2.5)]),
            "model.pt: tensor 'fc1.bias' has other values when loaded back"
        );
        let more = [wanted[0].clone(), wanted[1].clone(), tensor("fc9.bias", 0.0)];
        assert_eq!(check(&more), "model.pt: tensor 'fc9.bias' is one too many when loaded back");
    }
}
