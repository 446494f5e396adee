//! `architecture.json`: describes a network, so that it can be rebuilt around a `state_dict` without running its code.
//!
//! It also records the meaning of inputs and outputs: the column of each input, how it was standardised, and the class
//! of each output. Without these, a model gives wrong results on new data.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::diagnostic::article::with_article;
use crate::model_file::{Error, Tensor, io_error, write_file};

/// The version of the file's format that this program writes and reads.
pub const FORMAT: u32 = 1;

/// A feed-forward classifier: Linear, ReLU, (Dropout,) … Linear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// [`FORMAT`].
    pub format: u32,
    /// The kind of network.
    pub kind: Kind,
    /// The number of units of each hidden layer, from the input on. May be empty (softmax regression).
    pub hidden: Vec<usize>,
    /// The fraction of hidden units that are dropped in training, `0.0 <= dropout < 1.0`.
    pub dropout: f64,
    /// The inputs, in order. Every value is standardised, `(value - mean) / std`, before it enters the network.
    pub features: Vec<Column>,
    /// The name of the label column.
    pub label: String,
    /// The classes, in the order of the outputs.
    pub classes: Vec<String>,
}

/// The kinds of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Fully connected layers with ReLU between them.
    SimpleNet,
    /// The module in the TorchScript file beside this one. Its layers are not described here, only its inputs and
    /// outputs.
    TorchScript,
}

/// One input: a column of the data and its standardisation, computed from training rows only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The column's name in the header.
    pub name: String,
    /// The value that is subtracted.
    pub mean: f64,
    /// The value to divide by; never zero.
    pub std: f64,
}

/// A fully connected layer: its name and its two sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `fc1`, `fc2`, …
    pub name: String,
    /// The number of inputs.
    pub inputs: usize,
    /// The number of outputs.
    pub outputs: usize,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SimpleNet => "SimpleNet",
            Self::TorchScript => "TorchScript",
        })
    }
}

impl Architecture {
    /// The fully connected layers in order. The last one gives a logit for each class. Empty for a TorchScript module.
    pub fn layers(&self) -> Vec<Layer> {
        if self.kind == Kind::TorchScript {
            return Vec::new();
        }
        let sizes: Vec<usize> = std::iter::once(self.features.len())
            .chain(self.hidden.iter().copied())
            .chain(std::iter::once(self.classes.len()))
            .collect();
        let layer = |(index, pair): (usize, &[usize])| Layer {
            name: format!("fc{}", index + 1),
            inputs: pair[0],
            outputs: pair[1],
        };
        sizes.windows(2).enumerate().map(layer).collect()
    }

    /// The layer sizes, such as `10-20-2`; or `10-…-2` for a TorchScript module, whose layers are unknown.
    pub fn shape(&self) -> String {
        if self.kind == Kind::TorchScript {
            return format!("{}-…-{}", self.features.len(), self.classes.len());
        }
        let mut text = self.features.len().to_string();
        for layer in self.layers() {
            text.push_str(&format!("-{}", layer.outputs));
        }
        text
    }

    /// The name and shape of every parameter, in the order of the `state_dict`.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.layers()
            .into_iter()
            .flat_map(|layer| {
                let weight = (format!("{}.weight", layer.name), vec![layer.outputs, layer.inputs]);
                let bias = (format!("{}.bias", layer.name), vec![layer.outputs]);
                [weight, bias]
            })
            .collect()
    }

    /// Validates the description.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |text: String| Err(Error::Architecture(text));
        if self.format != FORMAT {
            return wrong(format!("format {} is not supported, only format {FORMAT}", self.format));
        }
        if self.features.is_empty() {
            return wrong("it has no features".to_owned());
        }
        if self.classes.len() < 2 {
            return wrong(format!("a classifier needs two or more classes, found {}", self.classes.len()));
        }
        if self.hidden.contains(&0) {
            return wrong("a hidden layer has no units".to_owned());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong(format!("dropout {} is not in 0 <= dropout < 1", self.dropout));
        }
        if let Some(column) = self.features.iter().find(|c| !c.mean.is_finite() || !c.std.is_finite() || c.std <= 0.0) {
            return wrong(format!("column '{}' is standardised with {} and {}", column.name, column.mean, column.std));
        }
        Ok(())
    }

    /// Checks that `tensors` are exactly this network's `state_dict`, as `float32`. A TorchScript module is not
    /// checked, because it has its own.
    ///
    /// # Errors
    /// The first tensor that is missing or unexpected, or has a different shape or type.
    pub fn check_state(&self, tensors: &[Tensor]) -> Result<(), Error> {
        if self.kind == Kind::TorchScript {
            return Ok(());
        }
        let wrong = |name: &str, reason: String| Err(Error::Tensor { name: name.to_owned(), reason });
        let parameters = self.parameters();
        let network = with_article(&format!("{} network", self.shape()));
        for (name, shape) in &parameters {
            let Some(tensor) = tensors.iter().find(|tensor| tensor.name() == name) else {
                return wrong(name, format!("is missing, but {network} needs it"));
            };
            if tensor.shape() != shape {
                return wrong(name, format!("has shape {:?}, but {network} needs {shape:?}", tensor.shape()));
            }
            if tensor.dtype() != crate::model_file::DType::F32 {
                return wrong(name, format!("has type {}, not float32", tensor.dtype().torch_name()));
            }
        }
        match tensors.iter().find(|tensor| !parameters.iter().any(|(name, _)| name == tensor.name())) {
            Some(tensor) => wrong(tensor.name(), format!("is not part of {network}")),
            None => Ok(()),
        }
    }

    /// Reads and validates an `architecture.json`.
    ///
    /// # Errors
    /// When it cannot be read, is not such a file, or describes no valid network.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::decode(&std::fs::read(path).map_err(io_error(path))?, path)
    }

    /// Decodes the bytes of an `architecture.json`. `path` is used only in errors.
    ///
    /// # Errors
    /// When the bytes are not such a file, or describe no valid network.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
        let architecture: Self =
            serde_json::from_slice(bytes).map_err(|error| malformed(format!("not an architecture ({error})")))?;
        architecture.check().map_err(|error| malformed(error.to_string()))?;
        Ok(architecture)
    }

    /// Writes an `architecture.json` atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| Error::Architecture(error.to_string()))?;
        text.push('\n');
        write_file(path, text.as_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(features: usize, hidden: &[usize], dropout: f64) -> Architecture {
        let column = |index| Column { name: format!("x{index}"), mean: 0.1, std: 1.0 / 3.0 };
        Architecture {
            format: FORMAT,
            kind: Kind::SimpleNet,
            hidden: hidden.to_vec(),
            dropout,
            features: (0..features).map(column).collect(),
            label: "y".to_owned(),
            classes: vec!["no".to_owned(), "yes".to_owned()],
        }
    }

    #[test]
    fn layers_follow_the_sizes() {
        let architecture = sample(10, &[20, 5], 0.0);
        assert_eq!(architecture.shape(), "10-20-5-2");
        let names: Vec<_> =
            architecture.parameters().into_iter().map(|(name, shape)| format!("{name}{shape:?}")).collect();
        assert_eq!(
            names,
            [
                "fc1.weight[20, 10]",
                "fc1.bias[20]",
                "fc2.weight[5, 20]",
                "fc2.bias[5]",
                "fc3.weight[2, 5]",
                "fc3.bias[2]"
            ]
        );
    }

    #[test]
    fn another_networks_state_is_refused_by_tensor() {
        let state = |architecture: &Architecture| -> Vec<Tensor> {
            let zeros = |(name, shape): (String, Vec<usize>)| {
                let count = shape.iter().product();
                Tensor::from_f32(name, shape, &vec![0.0; count]).unwrap()
            };
            architecture.parameters().into_iter().map(zeros).collect()
        };
        let (small, large) = (sample(3, &[4], 0.0), sample(3, &[4, 4], 0.0));
        assert!(small.check_state(&state(&small)).is_ok());
        assert_eq!(
            small.check_state(&state(&large)).unwrap_err().to_string(),
            "tensor 'fc2.weight': has shape [4, 4], but a 3-4-2 network needs [2, 4]"
        );
        assert_eq!(
            large.check_state(&state(&large)[..5]).unwrap_err().to_string(),
            "tensor 'fc3.bias': is missing, but a 3-4-4-2 network needs it"
        );
    }

    #[test]
    fn written_and_read_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("architecture.json");
        let architecture = sample(2, &[3], 0.25);
        architecture.write(&path).unwrap();
        assert_eq!(Architecture::read(&path).unwrap(), architecture);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("architecture.json");
        let mut architecture = sample(2, &[3], 0.25);
        architecture.features[1].std = 0.0;
        architecture.write(&path).unwrap();
        let error = Architecture::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("architecture: column 'x1' is standardised with 0.1 and 0"), "{error}");
    }
}
