//! Describes a safetensors file by its header, and a sharded model by its index.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use ::safetensors::tensor::Metadata;
use serde::Deserialize;

use crate::model_file::contents::{Contents, Kind, LazyTensor};
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::source::Section;
use crate::model_file::{Error, io_error, words};

/// The maximum length of a header. The format's own limit is three times that, and no model comes near it.
const HEADER_LIMIT: u64 = 32 << 20;
/// The maximum length of the index of a sharded model.
const INDEX_LIMIT: u64 = 32 << 20;

/// Whether a file begins like a safetensors file.
pub fn is_safetensors(beginning: &[u8], file_length: u64) -> bool {
    let Some((length, rest)) = beginning.split_first_chunk::<8>() else { return false };
    let length = u64::from_le_bytes(*length);
    rest.first() == Some(&b'{') && length >= 2 && length.checked_add(8).is_some_and(|end| end <= file_length)
}

/// Reads the header of a safetensors file.
///
/// # Errors
/// When the header is incomplete or invalid.
pub fn read(file: &Section) -> Result<Contents, Error> {
    let mut contents = Contents::new(Kind::Safetensors);
    add(file, &mut contents)?;
    Ok(contents)
}

fn add(file: &Section, contents: &mut Contents) -> Result<(), Error> {
    let mut length = [0; 8];
    file.read_into(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    let header = file
        .part(8, length)
        .ok_or_else(|| file.malformed("not a complete safetensors file (the header is larger than the file)"))?;
    let header = header.read_all(HEADER_LIMIT)?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| file.malformed(&format!("not a complete safetensors file ({error})")))?;
    let data = 8 + length;
    if data + metadata.data_len() as u64 != file.length() {
        return Err(file.malformed("not a complete safetensors file (its size does not match its tensors)"));
    }
    // The tensors in the order of their bytes in the file.
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by(|(one, left), (two, right)| (left.data_offsets, one).cmp(&(right.data_offsets, two)));
    for (name, info) in tensors {
        let kind = info.dtype.to_string();
        let Some(scalar_type) = ScalarType::from_safetensors_name(&kind) else {
            contents.notes.push(format!(
                "tensor '{}' has type {kind}, which torch does not support: it is skipped",
                words::printable(&name, 120)
            ));
            continue;
        };
        let (start, end) = info.data_offsets;
        let section = file.part(data + start as u64, (end - start) as u64);
        contents.storages.push(section.ok_or_else(|| file.malformed("a tensor is outside the file"))?);
        let storage = contents.storages.len() - 1;
        contents.tensors.push(LazyTensor::contiguous(name, scalar_type, info.shape.clone(), storage));
    }
    let about = metadata.metadata().clone().unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>();
    for (key, value) in about.iter().take(8).filter(|(key, value)| (key.as_str(), value.as_str()) != ("format", "pt")) {
        contents.notes.push(format!("metadata {}: {}", words::printable(key, 60), words::printable(value, 120)));
    }
    Ok(())
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Reads the headers of all files that an index names.
///
/// # Errors
/// When the index or a file is incomplete, a file is in another folder, or a tensor is not in the file that the index
/// names.
pub fn read_index(index: &Section) -> Result<Contents, Error> {
    let parsed: Index = serde_json::from_slice(&index.read_all(INDEX_LIMIT)?)
        .map_err(|error| index.malformed(&format!("not an index of safetensors files ({error})")))?;
    let folder = index.path().parent().unwrap_or(Path::new(""));
    let mut contents = Contents::new(Kind::Safetensors);
    let mut files: Vec<&String> = parsed.weight_map.values().collect();
    files.sort();
    files.dedup();
    for name in &files {
        let mut parts = Path::new(name).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(index.malformed(&format!(
                "refers to the file '{}', which is not in the same folder",
                words::printable(name, 120)
            )));
        }
        let path = folder.join(name);
        path.symlink_metadata().map_err(io_error(&path))?;
        let before = contents.tensors.len();
        add(&Section::open(&path)?, &mut contents)?;
        for tensor in &contents.tensors[before..] {
            match parsed.weight_map.get(&tensor.name) {
                Some(file) if file == *name => {}
                _ => {
                    let tensor = words::printable(&tensor.name, 120);
                    return Err(index.malformed(&format!("does not list the tensor '{tensor}' of {name}")));
                }
            }
        }
    }
    if contents.tensors.len() != parsed.weight_map.len() {
        return Err(index.malformed("lists tensors that are in none of its files"));
    }
    contents.tensors.sort_by(|left, right| left.name.cmp(&right.name));
    contents.notes.push(format!("{} files with an index", files.len()));
    Ok(contents)
}
