//! Imports a model saved by Python, in any format, as a network that can compute.
//!
//! Weights (a `state_dict`, a checkpoint dictionary, safetensors, a whole-model pickle of standard layers) become a
//! SimpleNet; a TorchScript module is run as it is. [`Described`] has what the file does not contain: the input
//! columns, their standardisation, and the classes. No pickle is executed: `model_file` builds its values.

use std::fs;
use std::path::{Path, PathBuf};

use amlrun::model_file::architecture::{FORMAT, Kind as NetKind};
use amlrun::model_file::contents::row_major;
use amlrun::model_file::save::{Weight, select};
use amlrun::model_file::{
    self, Architecture, Column, Contents, DType, Kind, LazyTensor, ModelFile, Safety, ScalarType,
};
use amlrun::model_file::{compare, contents::Role, safety::Import};

use crate::error::{StageError, io_error};
use crate::progress;
use crate::stack::{self, Linear};

/// Prefixes that wrappers add: data parallel, compiled, Lightning.
const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "model.", "net."];

/// A model that can compute.
#[derive(Debug, Clone)]
pub struct Given {
    /// The network; of kind `TorchScript` if `module` computes.
    pub architecture: Architecture,
    /// Its weights, with the names of the architecture or of the module.
    pub weights: Vec<model_file::Tensor>,
    /// The bytes of the TorchScript file.
    pub module: Option<Vec<u8>>,
    /// The state of Python's optimizer, with our names.
    pub optimizer: Vec<model_file::Tensor>,
    /// The file that was read.
    pub path: PathBuf,
}

/// The inputs and outputs of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Ends {
    /// The columns with their standardisation.
    pub features: Vec<Column>,
    /// The label's column.
    pub label: String,
    /// The classes, in the order of the outputs.
    pub classes: Vec<String>,
}

/// What is known about a model from other sources than its file.
#[derive(Debug, Clone, PartialEq)]
pub enum Described {
    /// Everything, from an `architecture.json`.
    Whole(Architecture),
    /// Only the inputs and outputs. The layers are read from the file.
    Ends(Ends),
}

impl Described {
    fn ends(&self) -> Ends {
        match self {
            Self::Whole(whole) => {
                Ends { features: whole.features.clone(), label: whole.label.clone(), classes: whole.classes.clone() }
            }
            Self::Ends(ends) => ends.clone(),
        }
    }
}

impl Given {
    /// Reads the model in a file or folder.
    ///
    /// # Errors
    /// When it is not a model, cannot be rebuilt here, or does not fit its description. The message names the tensors,
    /// and what is missing.
    pub fn read(path: &Path, described: &Described) -> Result<Self, StageError> {
        let mut file = ModelFile::open(path)?;
        if path.is_dir() {
            // The first note says which file was chosen. Objections to other files do not concern this one.
            if let Some(choice) = file.contents.notes.iter().find(|note| note.contains(" was chosen")) {
                progress::say(format!("{}: {choice}", path.display()));
            }
            file = ModelFile::open(&file.path)?;
        }
        if file.safety == Safety::Dangerous {
            let imports: Vec<String> =
                file.imports.iter().filter(|i| i.safety == Safety::Dangerous).map(Import::dotted).collect();
            progress::warn(format!(
                "{} is dangerous to load in Python ({}); amlrun-stage reads only its tensors and runs no code",
                file.path.display(),
                imports.join(", ")
            ));
        }
        match file.contents.kind {
            Kind::TorchScript => Self::torchscript(&file, described.ends()),
            Kind::StateDict | Kind::Checkpoint | Kind::Safetensors | Kind::Module => Self::weights(&file, described),
            Kind::Export => Err(impossible(
                &file,
                "is an exported program, which only Python can run",
                "save the model with torch.jit.script, or its state_dict",
            )),
            Kind::MlflowModel | Kind::Unknown => {
                Err(impossible(&file, "contains no model", "use a file that torch saved"))
            }
        }
    }

    fn torchscript(file: &ModelFile, ends: Ends) -> Result<Self, StageError> {
        let bytes = fs::read(&file.path).map_err(io_error(&file.path))?;
        Ok(Self {
            architecture: assemble(NetKind::TorchScript, Vec::new(), 0.0, ends)?,
            weights: tensors_of(&file.contents)?,
            module: Some(bytes),
            optimizer: Vec::new(),
            path: file.path.clone(),
        })
    }

    fn weights(file: &ModelFile, described: &Described) -> Result<Self, StageError> {
        let selection = select(&file.contents, &[], None);
        for note in &selection.notes {
            progress::say(format!("{}: {note}", file.path.display()));
        }
        let rounded = selection.weights.iter().find(|w| w.scalar_type().is_float() && w.scalar_type().width() != 4);
        if let Some(weight) = rounded {
            let kind = weight.scalar_type().torch_name();
            progress::say(format!("{}: weights of type {kind} are converted to float32", file.path.display()));
        }
        let weights = unwrapped(&selection.weights)?;
        let alphabetical = file.contents.kind == Kind::Safetensors;
        let architecture = match described {
            Described::Whole(whole) if whole.kind == NetKind::TorchScript => {
                return Err(impossible(
                    file,
                    "contains only weights, but its architecture.json describes a TorchScript module, whose code is \
                     missing",
                    "use the TorchScript file",
                ));
            }
            Described::Whole(whole) => whole.clone(),
            Described::Ends(ends) => between(file, &weights, alphabetical, ends.clone())?,
        };
        let weights = fitted(&file.path, &architecture, &weights, alphabetical)?;
        let optimizer = optimizer_of(&file.contents, &architecture)?;
        Ok(Self { architecture, weights, module: None, optimizer, path: file.path.clone() })
    }
}

/// All tensors of a TorchScript archive, with the names of the `state_dict`.
///
/// # Errors
/// When one cannot be read.
pub fn tensors_of(contents: &Contents) -> Result<Vec<model_file::Tensor>, StageError> {
    let kept = contents.tensors.iter().filter(|tensor| tensor.special.is_none() && tensor.role != Role::Optimizer);
    Ok(kept.map(|tensor| contents.tensor(tensor)).collect::<Result<_, _>>()?)
}

/// The state of Python's optimizer for each parameter, by its index (`…state.0.exp_avg`), with our names
/// (`exp_avg.fc1.weight`). State that is missing or has a different shape than its parameter is left out.
fn optimizer_of(contents: &Contents, architecture: &Architecture) -> Result<Vec<model_file::Tensor>, StageError> {
    let find = |ending: &str| {
        let mut found =
            contents.tensors.iter().filter(|tensor| tensor.role == Role::Optimizer && tensor.name.ends_with(ending));
        // With two optimizers in one file, it is unknown which one is meant.
        found.next().filter(|_| found.next().is_none())
    };
    let as_float = |name: &str, tensor: &LazyTensor| {
        Weight::of_file(name, contents, tensor).converted(ScalarType::Float32).tensor()
    };
    let mut state = Vec::new();
    for (number, (name, shape)) in architecture.parameters().into_iter().enumerate() {
        for kind in ["exp_avg", "exp_avg_sq", "momentum_buffer"] {
            if let Some(tensor) = find(&format!(".state.{number}.{kind}")).filter(|tensor| tensor.shape == shape) {
                state.push(as_float(&format!("{kind}.{name}"), tensor)?);
            }
        }
    }
    if let Some(step) = find(".state.0.step").filter(|tensor| tensor.elements() == 1) {
        let count = as_float("step", step)?.to_f32().and_then(|values| values.first().copied()).unwrap_or(0.0);
        let count = (count as i64).to_le_bytes().to_vec();
        state.push(model_file::Tensor::new("step", DType::I64, vec![], count)?);
    }
    Ok(state)
}

/// The tensors as `float32`, without a wrapper's prefix before all names.
fn unwrapped(weights: &[Weight<'_>]) -> Result<Vec<model_file::Tensor>, StageError> {
    let mut names: Vec<&str> = weights.iter().map(Weight::name).collect();
    while let Some(prefix) =
        WRAPPERS.iter().find(|prefix| !names.is_empty() && names.iter().all(|name| name.starts_with(**prefix)))
    {
        names = names.into_iter().map(|name| &name[prefix.len()..]).collect();
    }
    let tensor = |(weight, name): (&Weight<'_>, &str)| -> Result<model_file::Tensor, StageError> {
        let tensor = weight.clone().converted(ScalarType::Float32).tensor()?;
        Ok(model_file::Tensor::new(name, tensor.dtype(), tensor.shape().to_vec(), tensor.bytes().to_vec())?)
    };
    weights.iter().zip(names).map(tensor).collect()
}

/// The network between the given inputs and outputs, according to the file.
fn between(
    file: &ModelFile,
    weights: &[model_file::Tensor],
    alphabetical: bool,
    ends: Ends,
) -> Result<Architecture, StageError> {
    let shapes: Vec<(&str, &[usize])> = weights.iter().map(|tensor| (tensor.name(), tensor.shape())).collect();
    let missing = |reason: &str| {
        impossible(
            file,
            &format!("contains weights, but not the network that uses them: {reason}"),
            "describe the network with --architecture, or save it in Python with torch.jit.script(model).save('model.pt')",
        )
    };
    let mut dropout = 0.0;
    let mut assumed =
        Some("a state_dict does not contain the functions between its layers: ReLU is assumed".to_owned());
    if let (Kind::Module, Some(root)) = (file.contents.kind, &file.contents.modules) {
        let stack = stack::from_modules(root).map_err(|reason| missing(&reason))?;
        (dropout, assumed) = (stack.dropout, stack.assumed);
    }
    let layers = stack::from_shapes(&shapes, alphabetical).map_err(|reason| missing(&reason))?;
    if let Some(assumed) = assumed {
        progress::say(format!("{}: {assumed}", file.path.display()));
    }
    let hidden = layers[..layers.len() - 1].iter().map(|layer: &Linear| layer.outputs).collect();
    assemble(NetKind::SimpleNet, hidden, dropout, ends)
}

fn assemble(kind: NetKind, hidden: Vec<usize>, dropout: f64, ends: Ends) -> Result<Architecture, StageError> {
    let Ends { features, label, classes } = ends;
    let architecture = Architecture { format: FORMAT, kind, hidden, dropout, features, label, classes };
    architecture.check()?;
    Ok(architecture)
}

/// The weights with the architecture's names, in its order.
fn fitted(
    path: &Path,
    architecture: &Architecture,
    weights: &[model_file::Tensor],
    alphabetical: bool,
) -> Result<Vec<model_file::Tensor>, StageError> {
    let wanted = architecture.parameters();
    let renamed = |tensor: &model_file::Tensor, name: &str| {
        model_file::Tensor::new(name, tensor.dtype(), tensor.shape().to_vec(), tensor.bytes().to_vec())
    };
    let same_names = wanted.iter().all(|(name, _)| weights.iter().any(|tensor| tensor.name() == name));
    let shapes: Vec<(&str, &[usize])> = weights.iter().map(|tensor| (tensor.name(), tensor.shape())).collect();
    let mut fitted = Vec::new();
    if same_names && weights.len() == wanted.len() {
        let named = |name: &str| weights.iter().find(|tensor| tensor.name() == name);
        fitted.extend(wanted.iter().filter_map(|(name, _)| named(name)).cloned());
    } else if let Ok(found) = stack::from_shapes(&shapes, alphabetical) {
        // Other names for the same layers: in a Sequential, they are 0, 2, …
        let layers = architecture.layers();
        let alike = layers.len() == found.len()
            && layers.iter().zip(&found).all(|(l, f)| (l.inputs, l.outputs) == (f.inputs, f.outputs));
        if alike {
            for (layer, found) in layers.iter().zip(&found) {
                for part in ["weight", "bias"] {
                    let old = format!("{}.{part}", found.name);
                    if let Some(tensor) = weights.iter().find(|tensor| tensor.name() == old) {
                        fitted.push(renamed(tensor, &format!("{}.{part}", layer.name))?);
                    }
                }
            }
            let names: Vec<_> = layers.iter().zip(&found).map(|(l, f)| format!("{} as {}", f.name, l.name)).collect();
            progress::say(format!("{}: layers are used in this order: {}", path.display(), names.join(", ")));
        }
    }
    if fitted.len() == wanted.len() && architecture.check_state(&fitted).is_ok() {
        return Ok(fitted);
    }
    Err(mismatch(path, architecture, weights))
}

/// The differences between the network and the file, in the form of `amlrun model diff`.
fn mismatch(path: &Path, architecture: &Architecture, weights: &[model_file::Tensor]) -> StageError {
    let described = |tensors: Vec<(String, Vec<usize>, ScalarType)>| {
        let mut contents = Contents::new(Kind::StateDict);
        contents.tensors = tensors
            .into_iter()
            .map(|(name, shape, kind)| LazyTensor {
                strides: row_major(&shape),
                ..LazyTensor::contiguous(name, kind, shape, 0)
            })
            .collect();
        contents
    };
    let wanted = architecture.parameters().into_iter().map(|(name, shape)| (name, shape, ScalarType::Float32));
    let given = weights.iter().map(|t| (t.name().to_owned(), t.shape().to_vec(), t.dtype().into()));
    let text = match compare::compare(&described(wanted.collect()), &described(given.collect()), false) {
        Ok(difference) => difference.text(),
        Err(error) => error.to_string(),
    };
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    StageError::message(format!(
        "{} does not fit {} {} (missing: only the network has it; unexpected: only the file has it; reshaped: \
         the network's -> the file's)\n{}",
        path.display(),
        architecture.kind,
        architecture.shape(),
        lines.join("\n")
    ))
}

fn impossible(file: &ModelFile, what: &str, instead: &str) -> StageError {
    StageError::message(format!("{} {what}; {instead}", file.path.display()))
}
