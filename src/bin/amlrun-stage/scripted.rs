//! What computes: a [`SimpleNet`] of our own, or a TorchScript module that was scripted in Python and is taken as it is.
//!
//! A module's parameters are libtorch's own tensors inside of it, so training them trains the module; its buffers (the
//! running mean of a batch norm, say) move along when it computes in training mode, and are saved with it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use amlrun::model_file::architecture::Kind as NetKind;
use amlrun::model_file::{self, Architecture, ModelFile};
use tch::{CModule, Device, Tensor};

use crate::error::{StageError, io_error};
use crate::imported_model::tensors_of;
use crate::net::SimpleNet;

/// A network that can be trained.
pub enum Network {
    /// Layers of our own.
    Simple(SimpleNet),
    /// A TorchScript module.
    Scripted(Scripted),
}

/// A network's weights as files keep them.
#[derive(Debug, Clone)]
pub struct State {
    /// The `state_dict`.
    pub weights: Vec<model_file::Tensor>,
    /// The whole TorchScript file, when it is a module.
    pub module: Option<Vec<u8>>,
}

impl Network {
    /// The network of a state.
    ///
    /// # Errors
    /// When the state is that of another architecture, or libtorch does not read the module.
    pub fn new(architecture: &Architecture, state: &State, device: Device) -> Result<Self, StageError> {
        match (architecture.kind, &state.module) {
            (NetKind::TorchScript, Some(bytes)) => Ok(Self::Scripted(Scripted::new(bytes, device)?)),
            (NetKind::TorchScript, None) => Err(StageError::message("the TorchScript module is missing")),
            (NetKind::SimpleNet, _) => Ok(Self::Simple(SimpleNet::from_state(architecture, &state.weights, device)?)),
        }
    }

    /// What is trained, by name.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        match self {
            Self::Simple(net) => net.parameters(),
            Self::Scripted(net) => &net.parameters,
        }
    }

    /// One logit per class for each row.
    ///
    /// # Errors
    /// When the network does not take these rows.
    pub fn forward(&mut self, input: &Tensor, training: bool) -> Result<Tensor, StageError> {
        match self {
            Self::Simple(net) => net.forward(input, training),
            Self::Scripted(net) => net.forward(input, training),
        }
    }

    /// The weights as files keep them; `folder` is where a file may stand for a moment.
    ///
    /// # Errors
    /// When libtorch cannot hand them over.
    pub fn state(&mut self, folder: &Path) -> Result<State, StageError> {
        match self {
            Self::Simple(net) => Ok(State { weights: net.state()?, module: None }),
            Self::Scripted(net) => net.state(folder),
        }
    }
}

/// A TorchScript module with what it trains.
pub struct Scripted {
    module: CModule,
    parameters: Vec<(String, Tensor)>,
    training: Option<bool>,
}

impl Scripted {
    fn new(bytes: &[u8], device: Device) -> Result<Self, StageError> {
        let module = CModule::load_data_on_device(&mut &*bytes, device)?;
        let mut parameters: Vec<(String, Tensor)> = Vec::new();
        for (name, tensor) in module.named_parameters()? {
            // A tied parameter has two names and is trained once; a frozen one not at all.
            let tied = parameters.iter().any(|(_, known)| known.data_ptr() == tensor.data_ptr());
            if tensor.requires_grad() && !tied {
                parameters.push((name, tensor));
            }
        }
        if parameters.is_empty() {
            return Err(StageError::message(
                "the TorchScript module has no parameter that can be trained: it was traced and frozen, or all are frozen",
            ));
        }
        Ok(Self { module, parameters, training: None })
    }

    fn forward(&mut self, input: &Tensor, training: bool) -> Result<Tensor, StageError> {
        if self.training != Some(training) {
            if training {
                self.module.f_set_train()?;
            } else {
                self.module.f_set_eval()?;
            }
            self.training = Some(training);
        }
        Ok(self.module.forward_ts(&[input])?)
    }

    /// libtorch saves to files only.
    fn state(&mut self, folder: &Path) -> Result<State, StageError> {
        self.module.f_set_eval()?;
        self.training = Some(false);
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let file = Scratch(folder.join(format!(".module.{}.pt", std::process::id())));
        self.module.save(&file.0)?;
        let weights = tensors_of(&ModelFile::open(&file.0)?.contents)?;
        let module = fs::read(&file.0).map_err(io_error(&file.0))?;
        Ok(State { weights, module: Some(module) })
    }
}

/// A file that goes when it was read.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The bytes of a TorchScript file as a module that computes, in evaluation mode; `path` is only named in errors.
///
/// # Errors
/// When libtorch does not read it.
pub fn load(mut bytes: impl Read, path: &Path, device: Device) -> Result<CModule, StageError> {
    let about = |error| StageError::message(format!("{}: {}", path.display(), StageError::Torch(error)));
    let mut module = CModule::load_data_on_device(&mut bytes, device).map_err(about)?;
    module.f_set_eval().map_err(about)?;
    Ok(module)
}

/// The logits of a module, which must be one per class for each row.
///
/// # Errors
/// When the module does not take these rows, or gives something else.
pub fn logits(module: &CModule, input: &Tensor, classes: usize, path: &Path) -> Result<Tensor, StageError> {
    let about = |error| {
        StageError::message(format!(
            "{} does not compute with rows of {} columns: {}",
            path.display(),
            input.size().last().copied().unwrap_or(0),
            StageError::Torch(error)
        ))
    };
    let output = tch::no_grad(|| module.forward_ts(&[input])).map_err(about)?;
    check_shape(&output, input, classes).map_err(|text| StageError::message(format!("{}: {text}", path.display())))?;
    Ok(output)
}

/// Whether the output is one number per class for each row.
///
/// # Errors
/// In words, when it is not.
pub fn check_shape(output: &Tensor, input: &Tensor, classes: usize) -> Result<(), String> {
    let wanted = [input.size().first().copied().unwrap_or(0), i64::try_from(classes).unwrap_or(i64::MAX)];
    if output.size() == wanted {
        return Ok(());
    }
    Err(format!(
        "the module gives {:?} for {} rows and {classes} classes; one logit per class is needed",
        output.size(),
        wanted[0]
    ))
}
