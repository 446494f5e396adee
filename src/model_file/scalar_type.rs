//! All element types that torch can save, with torch's names.
//!
//! [`DType`] has the types that the native stages support; this type has all types in files. It knows names and widths,
//! and does not convert.

use serde::{Serialize, Serializer};

use crate::model_file::DType;

macro_rules! scalar_types {
    ($($(#[$doc:meta])* $name:ident $torch:literal $width:literal $storage:literal $format:literal;)*) => {
        /// The element type of a tensor, as in `c10::ScalarType`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ScalarType { $($(#[$doc])* $name,)* }

        impl ScalarType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in torch, without `torch.`, such as `float32`.
            pub fn torch_name(self) -> &'static str {
                match self { $(Self::$name => $torch,)* }
            }

            /// Bytes of one element.
            pub fn width(self) -> usize {
                match self { $(Self::$name => $width,)* }
            }

            /// The storage class of this type in torch's pickles. `None` for types newer than these classes.
            pub fn storage_class(self) -> Option<&'static str> {
                let class = match self { $(Self::$name => $storage,)* };
                (!class.is_empty()).then_some(class)
            }

            /// The name in a safetensors header. `None` for types that this format does not support.
            pub fn safetensors_name(self) -> Option<&'static str> {
                let name = match self { $(Self::$name => $format,)* };
                (!name.is_empty()).then_some(name)
            }
        }
    };
}

scalar_types! {
    /// `torch.bool`, one byte.
    Bool "bool" 1 "BoolStorage" "BOOL";
    /// `torch.uint8`.
    UInt8 "uint8" 1 "ByteStorage" "U8";
    /// `torch.int8`.
    Int8 "int8" 1 "CharStorage" "I8";
    /// `torch.float8_e5m2`.
    Float8E5M2 "float8_e5m2" 1 "" "F8_E5M2";
    /// `torch.float8_e4m3fn`.
    Float8E4M3FN "float8_e4m3fn" 1 "" "F8_E4M3";
    /// `torch.float8_e8m0fnu`, powers of two.
    Float8E8M0FNU "float8_e8m0fnu" 1 "" "F8_E8M0";
    /// `torch.float8_e4m3fnuz`.
    Float8E4M3FNUZ "float8_e4m3fnuz" 1 "" "F8_E4M3FNUZ";
    /// `torch.float8_e5m2fnuz`.
    Float8E5M2FNUZ "float8_e5m2fnuz" 1 "" "F8_E5M2FNUZ";
    /// `torch.int16`.
    Int16 "int16" 2 "ShortStorage" "I16";
    /// `torch.uint16`.
    UInt16 "uint16" 2 "" "U16";
    /// `torch.float16`.
    Float16 "float16" 2 "HalfStorage" "F16";
    /// `torch.bfloat16`.
    BFloat16 "bfloat16" 2 "BFloat16Storage" "BF16";
    /// `torch.int32`.
    Int32 "int32" 4 "IntStorage" "I32";
    /// `torch.uint32`.
    UInt32 "uint32" 4 "" "U32";
    /// `torch.float32`.
    Float32 "float32" 4 "FloatStorage" "F32";
    /// `torch.complex32`, two halves. It is older than the new dtypes, but has no storage class.
    Complex32 "complex32" 4 "" "";
    /// `torch.complex64`, two floats.
    Complex64 "complex64" 8 "ComplexFloatStorage" "C64";
    /// `torch.float64`.
    Float64 "float64" 8 "DoubleStorage" "F64";
    /// `torch.int64`.
    Int64 "int64" 8 "LongStorage" "I64";
    /// `torch.uint64`.
    UInt64 "uint64" 8 "" "U64";
    /// `torch.complex128`, two doubles.
    Complex128 "complex128" 16 "ComplexDoubleStorage" "";
    /// `torch.quint8`: integers that are converted to numbers by a scale and a zero point.
    QUInt8 "quint8" 1 "QUInt8Storage" "";
    /// `torch.qint8`.
    QInt8 "qint8" 1 "QInt8Storage" "";
    /// `torch.qint32`.
    QInt32 "qint32" 4 "QInt32Storage" "";
    /// `torch.quint4x2`: two numbers in a byte.
    QUInt4x2 "quint4x2" 1 "QUInt4x2Storage" "";
    /// `torch.quint2x4`: four numbers in a byte.
    QUInt2x4 "quint2x4" 1 "QUInt2x4Storage" "";
}

impl ScalarType {
    /// The type with that name in torch. Aliases (`half`, `float`, `long`, …) are supported.
    pub fn from_torch_name(name: &str) -> Option<Self> {
        let name = match name {
            "half" => "float16",
            "float" => "float32",
            "double" => "float64",
            "short" => "int16",
            "int" => "int32",
            "long" => "int64",
            "chalf" => "complex32",
            "cfloat" => "complex64",
            "cdouble" => "complex128",
            other => other,
        };
        Self::ALL.iter().copied().find(|kind| kind.torch_name() == name)
    }

    /// The type of a storage class such as `FloatStorage`.
    pub fn from_storage_class(class: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.storage_class() == Some(class))
    }

    /// The type with that name in a safetensors header.
    pub fn from_safetensors_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.safetensors_name() == Some(name))
    }

    /// Whether it is a real floating-point type that can be converted to another one.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::BFloat16 | Self::Float32 | Self::Float64)
    }

    /// The corresponding type of the native stages.
    pub fn dtype(self) -> Option<DType> {
        Some(match self {
            Self::Bool => DType::Bool,
            Self::UInt8 => DType::U8,
            Self::Int8 => DType::I8,
            Self::Int16 => DType::I16,
            Self::Int32 => DType::I32,
            Self::Int64 => DType::I64,
            Self::Float16 => DType::F16,
            Self::BFloat16 => DType::BF16,
            Self::Float32 => DType::F32,
            Self::Float64 => DType::F64,
            _ => return None,
        })
    }
}

impl From<DType> for ScalarType {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::Bool => Self::Bool,
            DType::U8 => Self::UInt8,
            DType::I8 => Self::Int8,
            DType::I16 => Self::Int16,
            DType::I32 => Self::Int32,
            DType::I64 => Self::Int64,
            DType::F16 => Self::Float16,
            DType::BF16 => Self::BFloat16,
            DType::F32 => Self::Float32,
            DType::F64 => Self::Float64,
        }
    }
}

impl Serialize for ScalarType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.torch_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back() {
        for &kind in ScalarType::ALL {
            assert_eq!(ScalarType::from_torch_name(kind.torch_name()), Some(kind));
            if let Some(class) = kind.storage_class() {
                assert_eq!(ScalarType::from_storage_class(class), Some(kind));
            }
            if let Some(name) = kind.safetensors_name() {
                assert_eq!(ScalarType::from_safetensors_name(name), Some(kind));
            }
            if let Some(dtype) = kind.dtype() {
                assert_eq!((ScalarType::from(dtype), dtype.width()), (kind, kind.width()));
                assert_eq!(dtype.torch_name(), kind.torch_name());
            }
        }
    }
}
