//! The network: an [`Architecture`] with tensors, which can compute.

use amlrun::model_file::{self, Architecture, DType};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::error::StageError;

/// Linear, ReLU, (Dropout,) … Linear.
pub struct SimpleNet {
    architecture: Architecture,
    /// The weight and bias of each layer, in the order of the `state_dict`.
    parameters: Vec<(String, Tensor)>,
}

impl SimpleNet {
    /// A network with initial weights: uniform within `1/sqrt(inputs)`, as in `torch.nn.Linear`. They come from our own
    /// generator, so that a seed gives the same weights on every device and with every version of libtorch.
    ///
    /// # Errors
    /// When libtorch cannot allocate the memory.
    pub fn new(architecture: &Architecture, seed: u64, device: Device) -> Result<Self, StageError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = Vec::new();
        for ((name, shape), inputs) in
            architecture.parameters().into_iter().zip(architecture.layers().iter().flat_map(|l| [l.inputs, l.inputs]))
        {
            let bound = 1.0 / (inputs as f32).sqrt();
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| random.random_range(-bound..bound)).collect();
            tensors.push(model_file::Tensor::from_f32(name, shape, &values)?);
        }
        Self::from_state(architecture, &tensors, device)
    }

    /// A network with the weights of a `state_dict`.
    ///
    /// # Errors
    /// When the tensors belong to another architecture. The message names the tensor.
    pub fn from_state(
        architecture: &Architecture,
        tensors: &[model_file::Tensor],
        device: Device,
    ) -> Result<Self, StageError> {
        architecture.check_state(tensors)?;
        let mut parameters = Vec::new();
        for (name, _) in architecture.parameters() {
            if let Some(tensor) = tensors.iter().find(|tensor| tensor.name() == name) {
                parameters.push((name, to_torch(tensor, device)?.set_requires_grad(true)));
            }
        }
        Ok(Self { architecture: architecture.clone(), parameters })
    }

    /// The parameters by name, in the order of the `state_dict`.
    pub fn parameters(&self) -> &[(String, Tensor)] {
        &self.parameters
    }

    /// One logit for each class, for each row of `input`. In training, dropout is applied.
    ///
    /// # Errors
    /// When the input does not have one column for each feature.
    pub fn forward(&self, input: &Tensor, training: bool) -> Result<Tensor, StageError> {
        let mut value = input.shallow_clone();
        let layers = self.parameters.as_chunks::<2>().0;
        for (index, [(_, weight), (_, bias)]) in layers.iter().enumerate() {
            value = value.f_linear(weight, Some(bias))?;
            if index + 1 < layers.len() {
                value = value.f_relu()?;
                if self.architecture.dropout > 0.0 {
                    value = value.f_dropout(self.architecture.dropout, training)?;
                }
            }
        }
        Ok(value)
    }

    /// The weights in the form of a model file.
    ///
    /// # Errors
    /// When libtorch cannot copy them.
    pub fn state(&self) -> Result<Vec<model_file::Tensor>, StageError> {
        self.parameters.iter().map(|(name, tensor)| from_torch(name, tensor)).collect()
    }
}

/// A tensor of a file as a libtorch tensor.
///
/// # Errors
/// When libtorch cannot allocate the memory.
pub fn to_torch(tensor: &model_file::Tensor, device: Device) -> Result<Tensor, StageError> {
    let kind = match tensor.dtype() {
        DType::Bool => Kind::Bool,
        DType::U8 => Kind::Uint8,
        DType::I8 => Kind::Int8,
        DType::I16 => Kind::Int16,
        DType::I32 => Kind::Int,
        DType::I64 => Kind::Int64,
        DType::F16 => Kind::Half,
        DType::BF16 => Kind::BFloat16,
        DType::F32 => Kind::Float,
        DType::F64 => Kind::Double,
    };
    let shape: Vec<i64> = tensor.shape().iter().map(|&side| i64::try_from(side).unwrap_or(i64::MAX)).collect();
    Ok(Tensor::f_from_data_size(tensor.bytes(), &shape, kind)?.f_to_device(device)?)
}

/// A `float32` tensor of libtorch in the form of a model file.
///
/// # Errors
/// When libtorch cannot copy it.
pub fn from_torch(name: &str, tensor: &Tensor) -> Result<model_file::Tensor, StageError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0f32; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    let shape = tensor.size().into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect();
    Ok(model_file::Tensor::from_f32(name, shape, &values)?)
}

/// A matrix of `values` in row-major order.
///
/// # Errors
/// When libtorch cannot allocate the memory.
pub fn matrix(values: &[f32], columns: usize, device: Device) -> Result<Tensor, StageError> {
    let columns = i64::try_from(columns).unwrap_or(i64::MAX);
    Ok(Tensor::f_from_slice(values)?.f_reshape([-1, columns])?.f_to_device(device)?)
}

/// Whether two tensors are bitwise equal, NaN included.
///
/// # Errors
/// When libtorch cannot copy them.
pub fn same_bits(left: &Tensor, right: &Tensor) -> Result<bool, StageError> {
    Ok(left.size() == right.size() && from_torch("", left)?.bytes() == from_torch("", right)?.bytes())
}
