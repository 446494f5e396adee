//! A tensor as stored in a file: a name, an element type, a shape, and little-endian bytes in row-major order.

use crate::model_file::Error;

/// The element types that torch and safetensors have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// `torch.bool`, one byte.
    Bool,
    /// `torch.uint8`.
    U8,
    /// `torch.int8`.
    I8,
    /// `torch.int16`.
    I16,
    /// `torch.int32`.
    I32,
    /// `torch.int64`.
    I64,
    /// `torch.float16`.
    F16,
    /// `torch.bfloat16`.
    BF16,
    /// `torch.float32`.
    F32,
    /// `torch.float64`.
    F64,
}

impl DType {
    /// Bytes of one element.
    pub fn width(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// The name in torch, such as `float32`.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// The storage class of this type in torch's pickles, such as `FloatStorage`.
    pub fn storage_class(self) -> &'static str {
        match self {
            Self::Bool => "BoolStorage",
            Self::U8 => "ByteStorage",
            Self::I8 => "CharStorage",
            Self::I16 => "ShortStorage",
            Self::I32 => "IntStorage",
            Self::I64 => "LongStorage",
            Self::F16 => "HalfStorage",
            Self::BF16 => "BFloat16Storage",
            Self::F32 => "FloatStorage",
            Self::F64 => "DoubleStorage",
        }
    }
}

/// A named tensor. The number of bytes always matches its shape and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    /// A tensor of `bytes` (little-endian, row-major).
    ///
    /// # Errors
    /// When the number of bytes does not match `shape` and `dtype`.
    pub fn new(name: impl Into<String>, dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self, Error> {
        let name = name.into();
        let wanted = shape.iter().try_fold(dtype.width(), |all, &side| all.checked_mul(side));
        if wanted != Some(bytes.len()) {
            let reason = format!("shape {shape:?} of {} does not fit {} bytes", dtype.torch_name(), bytes.len());
            return Err(Error::Tensor { name, reason });
        }
        Ok(Self { name, dtype, shape, bytes })
    }

    /// A `float32` tensor of `values` in row-major order.
    ///
    /// # Errors
    /// When the number of values does not match `shape`.
    pub fn from_f32(name: impl Into<String>, shape: Vec<usize>, values: &[f32]) -> Result<Self, Error> {
        Self::new(name, DType::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// The name in the `state_dict`, such as `fc1.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The length of each dimension; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, little-endian and row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements of a `float32` tensor; `None` for any other type.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let (chunks, rest) = self.bytes.as_chunks::<4>();
        (self.dtype == DType::F32 && rest.is_empty()).then(|| chunks.iter().map(|&c| f32::from_le_bytes(c)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fill_the_shape() {
        let error = Tensor::new("w", DType::F32, vec![2, 3], vec![0; 20]).unwrap_err();
        assert_eq!(error.to_string(), "tensor 'w': shape [2, 3] of float32 does not fit 20 bytes");
        assert!(Tensor::new("w", DType::I64, vec![usize::MAX, 2], vec![]).is_err(), "an overflowing shape is refused");
    }

    #[test]
    fn floats_come_back_bit_for_bit() {
        let values = [1.5, -0.0, f32::MIN_POSITIVE, f32::MAX];
        let tensor = Tensor::from_f32("w", vec![2, 2], &values).unwrap();
        let back = tensor.to_f32().unwrap();
        assert_eq!(back.map_bits(), values.to_vec().map_bits());
    }

    trait Bits {
        fn map_bits(&self) -> Vec<u32>;
    }

    impl Bits for Vec<f32> {
        fn map_bits(&self) -> Vec<u32> {
            self.iter().map(|value| value.to_bits()).collect()
        }
    }
}
