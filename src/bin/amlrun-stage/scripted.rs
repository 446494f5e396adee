//! A network that can compute: our own [`SimpleNet`], or a TorchScript module that was scripted in Python.
//!
//! A module's parameters are libtorch tensors inside it, so training them trains the module. Its buffers (such as the
//! running mean of a batch norm) are updated when it computes in training mode, and are saved with it.

use std::fs;
use std::io::Read;
use std::path::Path;

use amlrun::fs::atomic::Temporary;
use amlrun::model_file::architecture::Kind as NetKind;
use amlrun::model_file::{self, Architecture, ModelFile};
use tch::{CModule, Device, Tensor};

use crate::error::{StageError, io_error};
use crate::imported_model::tensors_of;
use crate::net::SimpleNet;

/// A network that can be trained.
pub enum Network {
    /// Our own layers.
    Simple(SimpleNet),
    /// A TorchScript module.
    Scripted(Scripted),
}

/// A network's weights in the form of model files.
#[derive(Debug, Clone)]
pub struct State {
    /// The `state_dict`.
    pub weights: Vec<model_file::Tensor>,
    /// The whole TorchScript file, if it is a module.
    pub module: Option<Vec<u8>>,
}

impl Network {
    /// The network with a given state.
    ///
    /// # Errors
    /// When the state belongs to another architecture, or libtorch cannot read the module.
    pub fn new(architecture: &Architecture, state: &State, device: Device) -> Result<Self, StageError> {
        match (architecture.kind, &state.module) {
            (NetKind::TorchScript, Some(bytes)) => Ok(Self::Scripted(Scripted::new(bytes, device)?)),
            (NetKind::TorchScript, None) => Err(StageError::message("the TorchScript module is missing")),
            (NetKind::SimpleNet, _) => Ok(Self::Simple(SimpleNet::from_state(architecture, &state.weights, device)?)),
        }
    }

    /// The trained parameters, by name.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        match self {
            Self::Simple(net) => net.parameters(),
            Self::Scripted(net) => &net.parameters,
        }
    }

    /// One logit for each class, for each row.
    ///
    /// # Errors
    /// When the network does not accept these rows.
    pub fn forward(&mut self, input: &Tensor, training: bool) -> Result<Tensor, StageError> {
        match self {
            Self::Simple(net) => net.forward(input, training),
            Self::Scripted(net) => net.forward(input, training),
        }
    }

    /// The weights in the form of model files. A temporary file may be created in `folder`.
    ///
    /// # Errors
    /// When libtorch cannot copy them.
    pub fn state(&mut self, folder: &Path) -> Result<State, StageError> {
        match self {
            Self::Simple(net) => Ok(State { weights: net.state()?, module: None }),
            Self::Scripted(net) => net.state(folder),
        }
    }
}

/// A TorchScript module with its trained parameters.
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
            // A tied parameter has two names but is trained once. A frozen one is not trained.
            let tied = parameters.iter().any(|(_, known)| known.data_ptr() == tensor.data_ptr());
            if tensor.requires_grad() && !tied {
                parameters.push((name, tensor));
            }
        }
        if parameters.is_empty() {
            return Err(StageError::message(
                "the TorchScript module has no trainable parameters: it was frozen, or all its parameters are",
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

    /// libtorch can save only to files. Their names without the extension must not be empty.
    fn state(&mut self, folder: &Path) -> Result<State, StageError> {
        self.module.f_set_eval()?;
        self.training = Some(false);
        let scratch = Temporary::beside(&folder.join("module"));
        fs::create_dir_all(scratch.path()).map_err(io_error(scratch.path()))?;
        let file = scratch.path().join("module.pt");
        self.module.save(&file)?;
        let weights = tensors_of(&ModelFile::open(&file)?.contents)?;
        let module = fs::read(&file).map_err(io_error(&file))?;
        Ok(State { weights, module: Some(module) })
    }
}

/// Loads the bytes of a TorchScript file as a module in evaluation mode. `path` is used only in errors.
///
/// # Errors
/// When libtorch cannot read it.
pub fn load(mut bytes: impl Read, path: &Path, device: Device) -> Result<CModule, StageError> {
    let about = |error| StageError::message(format!("{}: {}", path.display(), StageError::Torch(error)));
    let mut module = CModule::load_data_on_device(&mut bytes, device).map_err(about)?;
    module.f_set_eval().map_err(about)?;
    Ok(module)
}

/// The logits of a module. It must return one for each class, for each row.
///
/// # Errors
/// When the module does not accept these rows, or returns another shape.
pub fn logits(module: &CModule, input: &Tensor, classes: usize, path: &Path) -> Result<Tensor, StageError> {
    let about = |error| {
        StageError::message(format!(
            "{} does not accept rows of {} columns: {}",
            path.display(),
            input.size().last().copied().unwrap_or(0),
            StageError::Torch(error)
        ))
    };
    let output = tch::no_grad(|| module.forward_ts(&[input])).map_err(about)?;
    check_shape(&output, input, classes).map_err(|text| StageError::message(format!("{}: {text}", path.display())))?;
    Ok(output)
}

/// Checks that the output has one number for each class, for each row.
///
/// # Errors
/// A message, when it does not.
pub fn check_shape(output: &Tensor, input: &Tensor, classes: usize) -> Result<(), String> {
    let wanted = [input.size().first().copied().unwrap_or(0), i64::try_from(classes).unwrap_or(i64::MAX)];
    if output.size() == wanted {
        return Ok(());
    }
    Err(format!(
        "the module returns {:?} for {} rows and {classes} classes; it must return one logit per class",
        output.size(),
        wanted[0]
    ))
}
