//! Writes a safetensors file, one tensor after the other.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Weight, check_names};
use crate::fs::atomic::Temporary;
use crate::model_file::{Error, io_error};

/// Writes a safetensors file atomically. Tensors are in the order that the format's library uses, wide types first and
/// then by name, so that equal tensors give equal bytes.
///
/// # Errors
/// When a tensor has no bytes, a type that the format does not support, or a duplicate name, and when the file cannot
/// be written.
pub fn stream_safetensors(
    path: &Path,
    weights: &[Weight<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    check_names(weights)?;
    let mut ordered: Vec<&Weight<'_>> = weights.iter().collect();
    // The format's library sorts types by width; for equal widths, by its list of types.
    ordered.sort_by(|left, right| {
        let rank = |weight: &Weight<'_>| std::cmp::Reverse(rank(weight));
        (rank(left), left.name()).cmp(&(rank(right), right.name()))
    });
    let mut header = Map::new();
    let mut about: Map<String, Value> = metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    about.entry("format").or_insert(json!("pt"));
    header.insert("__metadata__".to_owned(), Value::Object(about));
    let mut end = 0u64;
    for weight in &ordered {
        let Some(dtype) = weight.scalar_type().safetensors_name() else {
            let reason = format!("has type {}, which safetensors does not support", weight.scalar_type().torch_name());
            return Err(Error::Tensor { name: weight.name().to_owned(), reason });
        };
        let start = end;
        end = end.saturating_add(weight.bytes());
        let entry = json!({"dtype": dtype, "shape": weight.shape(), "data_offsets": [start, end]});
        header.insert(weight.name().to_owned(), entry);
    }
    let mut header = serde_json::to_vec(&Value::Object(header)).map_err(|error| Error::Archive(error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let new = Temporary::beside(path);
    let mut file = new.create().map_err(io_error(path))?;
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io_error(path))?;
    file.write_all(&header).map_err(io_error(path))?;
    for weight in &ordered {
        match weight.place()? {
            Some(section) => section.copy_to(&mut file).map_err(io_error(path))?,
            None => file.write_all(&weight.gathered()?).map_err(io_error(path))?,
        }
    }
    new.place().map_err(io_error(path))
}

fn rank(weight: &Weight<'_>) -> usize {
    const ORDER: [&str; 19] = [
        "BOOL",
        "U8",
        "I8",
        "F8_E5M2",
        "F8_E4M3",
        "F8_E8M0",
        "F8_E4M3FNUZ",
        "F8_E5M2FNUZ",
        "I16",
        "U16",
        "F16",
        "BF16",
        "I32",
        "U32",
        "F32",
        "C64",
        "F64",
        "I64",
        "U64",
    ];
    let name = weight.scalar_type().safetensors_name().unwrap_or_default();
    ORDER.iter().position(|one| *one == name).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::{DType, Tensor, safetensors};

    #[test]
    fn streaming_gives_the_same_bytes_as_the_formats_own_library() {
        let tensors = [
            Tensor::new("b", DType::F32, vec![2], vec![1; 8]).unwrap(),
            Tensor::new("a", DType::F32, vec![1, 1], vec![2; 4]).unwrap(),
            Tensor::new("flag", DType::Bool, vec![], vec![1]).unwrap(),
            Tensor::new("n", DType::I64, vec![0], vec![]).unwrap(),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let weights: Vec<_> = tensors.iter().map(Weight::of_memory).collect();
        stream_safetensors(&path, &weights, &BTreeMap::new()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), safetensors::encode(&tensors).unwrap());
    }
}
