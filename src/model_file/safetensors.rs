//! Writes a `state_dict` as a `.safetensors` file. The same tensors always give the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ::safetensors::tensor::{Dtype, TensorView};

use crate::model_file::{DType, Error, Tensor, io_error, write_file};

/// The bytes of a safetensors file. Tensors are in the order that the format's library uses (wide types first, then by
/// name), so that equal tensors give equal bytes in any input order.
///
/// # Errors
/// When two tensors share a name.
pub fn encode(tensors: &[Tensor]) -> Result<Vec<u8>, Error> {
    let mut views = BTreeMap::new();
    for tensor in tensors {
        let name = tensor.name();
        let view = TensorView::new(to_format(tensor.dtype()), tensor.shape().to_vec(), tensor.bytes())
            .map_err(|error| Error::Tensor { name: name.to_owned(), reason: error.to_string() })?;
        if views.insert(name, view).is_some() {
            return Err(Error::Tensor { name: name.to_owned(), reason: "duplicate name".to_owned() });
        }
    }
    // Python's loaders expect `format: pt`. There is only this key: the map is unordered, and the bytes must not vary.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    ::safetensors::serialize(views, Some(metadata)).map_err(|error| Error::Archive(error.to_string()))
}

/// Writes a safetensors file atomically.
///
/// # Errors
/// As [`encode`], and when the file cannot be written.
pub fn write(path: &Path, tensors: &[Tensor]) -> Result<(), Error> {
    write_file(path, &encode(tensors)?)
}

/// The tensors of a safetensors file, by name.
///
/// # Errors
/// When the file cannot be read, is not a safetensors file, or has an element type that torch does not have.
pub fn read(path: &Path) -> Result<Vec<Tensor>, Error> {
    decode(&std::fs::read(path).map_err(io_error(path))?, path)
}

/// The tensors in the bytes of a safetensors file, by name. `path` is used only in errors.
///
/// # Errors
/// When the bytes are not a safetensors file, or have an element type that torch does not have.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Vec<Tensor>, Error> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    let file = ::safetensors::SafeTensors::deserialize(bytes)
        .map_err(|error| malformed(format!("not a complete safetensors file ({error})")))?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let dtype = from_format(view.dtype())
            .ok_or_else(|| malformed(format!("tensor '{name}' has type {:?}, which is not supported", view.dtype())))?;
        tensors.push(Tensor::new(name, dtype, view.shape().to_vec(), view.data().to_vec())?);
    }
    tensors.sort_by(|left, right| left.name().cmp(right.name()));
    Ok(tensors)
}

fn to_format(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

fn from_format(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::BOOL => DType::Bool,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tensor(name: &str, values: &[f32]) -> Tensor {
        Tensor::from_f32(name, vec![values.len()], values).unwrap()
    }

    #[test]
    fn same_tensors_same_bytes_in_any_order() {
        let (a, b) = (tensor("a", &[1.0, 2.0]), tensor("b", &[3.0]));
        assert_eq!(encode(&[a.clone(), b.clone()]).unwrap(), encode(&[b, a]).unwrap());
    }

    #[test]
    fn two_of_one_name_are_refused() {
        let error = encode(&[tensor("a", &[1.0]), tensor("a", &[2.0])]).unwrap_err();
        assert_eq!(error.to_string(), "tensor 'a': duplicate name");
    }

    #[test]
    fn half_a_file_is_refused_by_name() {
        let bytes = encode(&[tensor("a", &[1.0, 2.0])]).unwrap();
        let error = decode(&bytes[..bytes.len() - 3], Path::new("m.safetensors")).unwrap_err();
        assert!(error.to_string().starts_with("m.safetensors: not a complete safetensors file"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in prop::collection::btree_set("[a-z]{1,8}(\\.[a-z]{1,6})?", 0..6), rows in 0usize..5, fill in any::<u8>()) {
            let tensors: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(index, name)| {
                    let dtype = [DType::F32, DType::I64, DType::Bool, DType::F16][index % 4];
                    Tensor::new(name, dtype, vec![rows, 2], vec![fill; rows * 2 * dtype.width()]).unwrap()
                })
                .collect();
            let bytes = encode(&tensors).unwrap();
            prop_assert_eq!(decode(&bytes, Path::new("m")).unwrap(), tensors);
        }

        #[test]
        fn any_bytes_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, Path::new("m"));
        }
    }
}
