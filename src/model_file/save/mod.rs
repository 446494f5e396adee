//! Writes tensors of any opened file in formats that Python loads, with at most one tensor in memory.
//!
//! A [`Weight`] is a tensor to be written: its new name, its new type, and its source. [`pth`] keeps shared storages
//! shared. [`stream_safetensors`] writes each tensor separately, as that format requires. [`write_npy`] writes a single
//! tensor for NumPy. All write to a temporary name and rename, so that no reader sees an incomplete file.
//! [`select`](mod@select) selects the tensors of a file.

mod npy;
pub mod pth;
mod select;
mod stream;

pub use npy::write_npy;
pub use select::{Selection, select};
pub use stream::stream_safetensors;

use std::io::Write;

use crate::model_file::contents::{Contents, LazyTensor};
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::source::Section;
use crate::model_file::{Error, Tensor, numbers, words};

/// How many bytes are copied at once: few enough to stay in the processor's cache.
const CHUNK: usize = 256 << 10;

/// A tensor to be written.
#[derive(Debug, Clone)]
pub struct Weight<'a> {
    name: String,
    scalar_type: ScalarType,
    from: From<'a>,
}

#[derive(Debug, Clone, Copy)]
enum From<'a> {
    File(&'a Contents, &'a LazyTensor),
    Memory(&'a Tensor),
}

impl<'a> Weight<'a> {
    /// A tensor of a file, unchanged, under a new name.
    pub fn of_file(name: impl Into<String>, contents: &'a Contents, tensor: &'a LazyTensor) -> Self {
        Self { name: name.into(), scalar_type: tensor.scalar_type, from: From::File(contents, tensor) }
    }

    /// A tensor in memory, unchanged.
    pub fn of_memory(tensor: &'a Tensor) -> Self {
        let scalar_type = tensor.dtype().into();
        Self { name: tensor.name().to_owned(), scalar_type, from: From::Memory(tensor) }
    }

    /// Converts it to another floating-point type. Integers and booleans are not converted.
    #[must_use]
    pub fn converted(mut self, to: ScalarType) -> Self {
        if self.scalar_type.is_float() && to.is_float() {
            self.scalar_type = to;
        }
        self
    }

    /// The name under which it is written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type in which it is written.
    pub fn scalar_type(&self) -> ScalarType {
        self.scalar_type
    }

    /// The length of each dimension.
    pub fn shape(&self) -> &'a [usize] {
        match self.from {
            From::File(_, tensor) => &tensor.shape,
            From::Memory(tensor) => tensor.shape(),
        }
    }

    /// The tensor with its bytes, in memory, for computing.
    ///
    /// # Errors
    /// When it has no bytes, cannot be converted to its new type, or that type is not supported.
    pub fn tensor(&self) -> Result<Tensor, Error> {
        let dtype = self.scalar_type.dtype().ok_or_else(|| Error::Tensor {
            name: self.name.clone(),
            reason: format!("has type {}, which is not supported here", self.scalar_type.torch_name()),
        })?;
        Tensor::new(self.name.clone(), dtype, self.shape().to_vec(), self.gathered()?)
    }

    /// How many bytes are written.
    fn bytes(&self) -> u64 {
        let elements = self.shape().iter().fold(1u64, |all, &side| all.saturating_mul(side as u64));
        elements.saturating_mul(self.scalar_type.width() as u64)
    }

    fn is_converted(&self) -> bool {
        match self.from {
            From::File(_, tensor) => tensor.scalar_type != self.scalar_type,
            From::Memory(_) => false,
        }
    }

    /// The range of a file that has the bytes exactly as they are to be written.
    fn place(&self) -> Result<Option<Section>, Error> {
        match self.from {
            From::File(contents, tensor) => {
                let place = contents.place(tensor)?; // also tells why there are none
                Ok(if self.is_converted() { None } else { place })
            }
            From::Memory(_) => Ok(None),
        }
    }

    /// The bytes, gathered and converted in memory.
    fn gathered(&self) -> Result<Vec<u8>, Error> {
        match self.from {
            From::Memory(tensor) => Ok(tensor.bytes().to_vec()),
            From::File(contents, tensor) => {
                let bytes = contents.read(tensor)?;
                let impossible = || Error::Tensor {
                    name: self.name.clone(),
                    reason: format!("cannot be converted to {}", self.scalar_type.torch_name()),
                };
                if !self.is_converted() {
                    return Ok(bytes);
                }
                numbers::convert(&bytes, tensor.scalar_type, self.scalar_type).ok_or_else(impossible)
            }
        }
    }
}

/// Refuses duplicate names.
fn check_names(weights: &[Weight<'_>]) -> Result<(), Error> {
    let mut names: Vec<&str> = weights.iter().map(Weight::name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::Tensor { name: words::printable(pair[0], 200), reason: "duplicate name".to_owned() }),
        None => Ok(()),
    }
}

/// Copies a range of a file to a writer.
fn copy(section: &Section, out: &mut dyn Write) -> std::io::Result<()> {
    let mut left = section.length();
    let mut at = 0;
    let mut buffer = vec![0; CHUNK.min(left as usize)];
    while left > 0 {
        let size = (CHUNK as u64).min(left) as usize;
        section.read_into(at, &mut buffer[..size]).map_err(std::io::Error::other)?;
        out.write_all(&buffer[..size])?;
        at += size as u64;
        left -= size as u64;
    }
    Ok(())
}
