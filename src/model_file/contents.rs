//! The contents of a model file: its tensors, which are described but not read, and other facts about it.
//!
//! Readers of all formats return this. A tensor is a view of a storage, and a storage is a part of a file. The bytes
//! are read on request.

use serde::Serialize;

use crate::model_file::scalar_type::ScalarType;
use crate::model_file::source::Section;
use crate::model_file::{Error, Tensor};

/// The maximum number of bytes of an expanded tensor, in which torch uses a stride of zero.
const EXPANDED_LIMIT: u64 = 4 << 30;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole model, pickled with references to its classes.
    Module,
    /// Names and tensors.
    StateDict,
    /// A dictionary or another value with tensors somewhere inside.
    Checkpoint,
    /// A TorchScript archive: code and weights.
    #[serde(rename = "torchscript")]
    TorchScript,
    /// A safetensors file, or several with their index.
    Safetensors,
    /// An archive of `torch.export`.
    Export,
    /// A folder with an `MLmodel` file.
    MlflowModel,
    /// Something else.
    Unknown,
}

/// The role of a tensor in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A trainable parameter.
    Parameter,
    /// A buffer, which is saved but not trained.
    Buffer,
    /// Part of an optimiser's state.
    Optimizer,
    /// Unknown: the file does not say.
    Unsaid,
}

/// A tensor that has not been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LazyTensor {
    /// The name in the `state_dict`, or the path of keys that leads to it.
    pub name: String,
    /// The element type.
    pub scalar_type: ScalarType,
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// How many elements of the storage one step along each dimension moves.
    pub strides: Vec<usize>,
    /// The first element, as an index into the storage.
    pub offset: usize,
    /// Its storage in [`Contents::storages`]. `None` if the file has no bytes for it.
    pub storage: Option<usize>,
    /// Its role in the model.
    pub role: Role,
    /// Why its values are not plain bytes, such as `sparse_coo`.
    pub special: Option<String>,
}

/// A module in the module tree of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The name of the parent's attribute that holds it; empty for the model itself.
    pub name: String,
    /// The name of its class.
    pub class: String,
    /// Its arguments, as `print(model)` shows them in parentheses.
    pub arguments: String,
    /// Its submodules.
    pub children: Vec<Module>,
}

/// What a reader found in a file.
#[derive(Debug)]
pub struct Contents {
    /// The kind of the file.
    pub kind: Kind,
    /// The tensors, in the order of the file.
    pub tensors: Vec<LazyTensor>,
    /// The storages of the tensors.
    pub storages: Vec<Section>,
    /// The module tree, if the file has one.
    pub modules: Option<Module>,
    /// Remarks, one sentence each.
    pub notes: Vec<String>,
    /// Whether the values are big-endian, so that they cannot be used unchanged.
    pub big_endian: bool,
    /// The devices of a torch file's storages: `cpu`, `cuda:0`.
    pub places: Vec<String>,
}

impl LazyTensor {
    /// A tensor in row-major order that begins at the start of its storage.
    pub fn contiguous(name: String, scalar_type: ScalarType, shape: Vec<usize>, storage: usize) -> Self {
        let strides = row_major(&shape);
        let storage = Some(storage);
        Self { name, scalar_type, shape, strides, offset: 0, storage, role: Role::Unsaid, special: None }
    }

    /// The number of elements, at most `u64::MAX`.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |all: u64, &side| all.saturating_mul(side as u64))
    }

    /// The size of all elements in bytes.
    pub fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.scalar_type.width() as u64)
    }

    /// Whether the elements are contiguous in row-major order.
    pub fn is_contiguous(&self) -> bool {
        if self.elements() == 0 {
            return true;
        }
        let mut step = 1;
        for (&side, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if side != 1 {
                if stride != step {
                    return false;
                }
                step *= side;
            }
        }
        true
    }

    /// The number of elements of the storage from the tensor's first to its last one. `None` if it overflows.
    pub fn extent(&self) -> Option<u64> {
        if self.elements() == 0 {
            return Some(0);
        }
        self.shape
            .iter()
            .zip(&self.strides)
            .try_fold(1u64, |all, (&side, &stride)| all.checked_add((side as u64 - 1).checked_mul(stride as u64)?))
    }

    /// Whether both are the same view of the same storage.
    pub fn is_tied_to(&self, other: &Self) -> bool {
        self.storage.is_some()
            && (self.storage, self.offset, &self.shape, &self.strides, self.scalar_type)
                == (other.storage, other.offset, &other.shape, &other.strides, other.scalar_type)
    }

    /// Checks that the view is inside a storage of that many bytes.
    ///
    /// # Errors
    /// A message, when it is not.
    pub fn check(&self, storage_bytes: u64) -> Result<(), Error> {
        let outside = || Error::Tensor {
            name: crate::model_file::words::printable(&self.name, 200),
            reason: format!(
                "shape {:?} with strides {:?} from element {} is outside its storage of {storage_bytes} bytes",
                self.shape, self.strides, self.offset
            ),
        };
        if self.shape.len() != self.strides.len() || self.shape.iter().try_fold(1u64, overflowing).is_none() {
            return Err(outside());
        }
        let end = self.extent().and_then(|extent| extent.checked_add(self.offset as u64));
        let bytes = end.and_then(|end| end.checked_mul(self.scalar_type.width() as u64));
        if bytes.is_none_or(|bytes| bytes > storage_bytes && self.elements() > 0) { Err(outside()) } else { Ok(()) }
    }
}

fn overflowing(all: u64, side: &usize) -> Option<u64> {
    all.checked_mul(*side as u64).filter(|all| *all < 1 << 60)
}

/// The strides of a row-major tensor.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for index in (1..shape.len()).rev() {
        strides[index - 1] = strides[index].saturating_mul(shape[index].max(1));
    }
    strides
}

impl Contents {
    /// Empty contents of a kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            tensors: Vec::new(),
            storages: Vec::new(),
            modules: None,
            notes: Vec::new(),
            big_endian: false,
            places: Vec::new(),
        }
    }

    /// The range of bytes of a contiguous tensor. `None` if its elements must be gathered.
    ///
    /// # Errors
    /// When the file has no bytes for it.
    pub fn place(&self, tensor: &LazyTensor) -> Result<Option<Section>, Error> {
        let storage = self.storage(tensor)?;
        if !tensor.is_contiguous() {
            return Ok(None);
        }
        let start = (tensor.offset as u64).saturating_mul(tensor.scalar_type.width() as u64);
        if tensor.elements() == 0 {
            return Ok(storage.part(0, 0));
        }
        match storage.part(start, tensor.bytes()) {
            Some(place) => Ok(Some(place)),
            None => tensor.check(storage.length()).map(|()| None),
        }
    }

    /// The bytes of a tensor, little-endian and row-major.
    ///
    /// # Errors
    /// When the file has no bytes for it, or cannot be read.
    pub fn read(&self, tensor: &LazyTensor) -> Result<Vec<u8>, Error> {
        if let Some(place) = self.place(tensor)? {
            return place.read_all(u64::MAX);
        }
        let storage = self.storage(tensor)?;
        tensor.check(storage.length())?;
        let width = tensor.scalar_type.width();
        let extent = tensor.extent().unwrap_or(0) * width as u64;
        if tensor.bytes() > EXPANDED_LIMIT.max(extent) {
            let reason = format!("is expanded to {} from {extent} bytes", crate::number::human_bytes(tensor.bytes()));
            return Err(Error::Tensor { name: tensor.name.clone(), reason });
        }
        let mut window = vec![0; extent as usize];
        storage.read_into(tensor.offset as u64 * width as u64, &mut window)?;
        Ok(gather(&window, width, &tensor.shape, &tensor.strides))
    }

    /// The tensor with its bytes, for the native stages.
    ///
    /// # Errors
    /// As [`Contents::read`], and when the stages do not support its type.
    pub fn tensor(&self, tensor: &LazyTensor) -> Result<Tensor, Error> {
        let dtype = tensor.scalar_type.dtype().ok_or_else(|| Error::Tensor {
            name: tensor.name.clone(),
            reason: format!("has type {}, which is not supported here", tensor.scalar_type.torch_name()),
        })?;
        Tensor::new(tensor.name.clone(), dtype, tensor.shape.clone(), self.read(tensor)?)
    }

    /// The first tensor of that name.
    pub fn find(&self, name: &str) -> Option<&LazyTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    fn storage(&self, tensor: &LazyTensor) -> Result<&Section, Error> {
        let none = |reason: String| Error::Tensor { name: tensor.name.clone(), reason };
        if let Some(special) = &tensor.special {
            return Err(none(format!("is {special}: its values cannot be read")));
        }
        if self.big_endian && tensor.scalar_type.width() > 1 {
            return Err(none("is big-endian: only little-endian files are supported".to_owned()));
        }
        tensor
            .storage
            .and_then(|index| self.storages.get(index))
            .ok_or_else(|| none("has no data in this file".to_owned()))
    }
}

/// The elements of a view in row-major order.
fn gather(window: &[u8], width: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut out = Vec::with_capacity(count * width);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for _ in 0..count {
        out.extend_from_slice(&window[at * width..(at + 1) * width]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize], strides: &[usize], offset: usize) -> LazyTensor {
        let mut tensor = LazyTensor::contiguous("w".to_owned(), ScalarType::UInt8, shape.to_vec(), 0);
        tensor.strides = strides.to_vec();
        tensor.offset = offset;
        tensor
    }

    #[test]
    fn a_transposed_view_is_gathered() {
        assert_eq!(gather(&[0, 1, 2, 3, 4, 5], 1, &[3, 2], &[1, 3]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(gather(&[7], 1, &[2, 2], &[0, 0]), [7, 7, 7, 7]);
    }

    #[test]
    fn a_view_must_lie_inside_its_storage() {
        assert!(view(&[3, 2], &[1, 3], 0).check(6).is_ok());
        assert!(view(&[3, 2], &[1, 3], 1).check(6).is_err());
        assert!(view(&[usize::MAX, 2], &[1, 1], 0).check(u64::MAX).is_err());
        assert!(view(&[2], &[usize::MAX], 0).check(u64::MAX).is_err());
        assert!(view(&[0, 5], &[5, 1], 9).check(0).is_ok(), "an empty tensor needs no bytes");
    }

    #[test]
    fn lone_dimensions_do_not_break_the_order() {
        assert!(view(&[2, 1, 3], &[3, 99, 1], 0).is_contiguous());
        assert!(!view(&[2, 3], &[1, 2], 0).is_contiguous());
        assert_eq!(row_major(&[2, 3, 4]), [12, 4, 1]);
    }
}
