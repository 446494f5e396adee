//! Writes a `state_dict` like `torch.save`: a zip of `data.pkl` and one member for each storage.
//! `torch.load(weights_only=True)` opens it.
//!
//! Tensors that share a storage still share it, as views with their own strides. A single view of a larger storage is
//! written without the rest of the storage.

use std::collections::HashMap;
use std::path::Path;

use super::{From, Weight, check_names, copy};
use crate::fs::atomic::Temporary;
use crate::model_file::archive::Archive;
use crate::model_file::contents::row_major;
use crate::model_file::pickle::{Value, encode};
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::source::Section;
use crate::model_file::{Error, Tensor, io_error};

/// Writes tensors in memory as a `.pth` file, atomically.
///
/// # Errors
/// As [`write()`].
pub fn write_tensors(path: &Path, tensors: &[Tensor]) -> Result<(), Error> {
    let weights: Vec<_> = tensors.iter().map(Weight::of_memory).collect();
    write(path, &weights)
}

/// Writes a `.pth` file, atomically.
///
/// # Errors
/// When a tensor has no bytes or a type that torch cannot save, a name is given twice, or the file cannot be written.
pub fn write(path: &Path, weights: &[Weight<'_>]) -> Result<(), Error> {
    check_names(weights)?;
    let (storages, views) = plan(weights)?;
    let entries = weights.iter().zip(&views).map(|(weight, view)| {
        let value = view.value(weight, &storages[view.storage]);
        (weight.name().to_owned(), value)
    });
    let dictionary = Value::Call(Box::new(Value::global("collections", "OrderedDict")), vec![]);
    let state = Value::Entries(Box::new(dictionary), entries.collect());

    let new = Temporary::beside(path);
    let mut archive = Archive::onto(&top(path), new.create().map_err(io_error(path))?);
    archive.add("data.pkl", &encode(&state))?;
    archive.add("byteorder", b"little")?;
    for (key, storage) in storages.iter().enumerate() {
        let name = format!("data/{key}");
        match &storage.from {
            Source::Place(section) => archive.add_with(&name, section.length(), |out| copy(section, out))?,
            Source::Gather(index) => archive.add(&name, &weights[*index].gathered()?)?,
        }
    }
    archive.add("version", b"3\n")?;
    archive.close()?;
    new.place().map_err(io_error(path))
}

/// torch names the folder in the archive after the file, without its extension.
fn top(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let top: String = stem.chars().map(|c| if fits(c) { c } else { '_' }).take(100).collect();
    if top.trim_matches('.').is_empty() { "archive".to_owned() } else { top }
}

/// A storage to be written.
struct Storage {
    scalar_type: ScalarType,
    elements: u64,
    from: Source,
}

enum Source {
    /// An unchanged range of a file.
    Place(Section),
    /// Gathered from the weight with that index.
    Gather(usize),
}

/// The position of a tensor in a storage.
struct View {
    storage: usize,
    offset: usize,
    strides: Vec<usize>,
}

/// Plans the storages, and the position of each weight in them.
fn plan(weights: &[Weight<'_>]) -> Result<(Vec<Storage>, Vec<View>), Error> {
    // For each storage of the source file, how many weights use it unchanged, and with which type.
    let mut users: HashMap<(usize, usize), (usize, Option<ScalarType>)> = HashMap::new();
    for weight in weights {
        if let Some(key) = shared_key(weight) {
            let (count, kind) = users.entry(key).or_insert((0, Some(weight.scalar_type())));
            *count += 1;
            if *kind != Some(weight.scalar_type()) {
                *kind = None; // a storage seen as two types: torch cannot save that
            }
        }
    }
    let mut storages: Vec<Storage> = Vec::new();
    let mut views = Vec::new();
    let mut written: HashMap<(usize, usize), usize> = HashMap::new();
    let mut converted: HashMap<(usize, usize, ScalarType), Vec<(usize, usize)>> = HashMap::new();
    for (index, weight) in weights.iter().enumerate() {
        let kind = weight.scalar_type();
        if let (Some(key), From::File(contents, tensor)) = (shared_key(weight), weight.from)
            && let Some((2.., Some(_))) = users.get(&key)
        {
            let place = contents.storages.get(key.1);
            let whole = place.filter(|place| place.length().is_multiple_of(kind.width() as u64));
            if let Some(section) = whole {
                contents.place(tensor)?; // tells why a tensor has no bytes
                let storage = *written.entry(key).or_insert_with(|| {
                    let elements = section.length() / kind.width() as u64;
                    storages.push(Storage { scalar_type: kind, elements, from: Source::Place(section.clone()) });
                    storages.len() - 1
                });
                views.push(View { storage, offset: tensor.offset, strides: tensor.strides.clone() });
                continue;
            }
        }
        let strides = row_major(weight.shape());
        // Tied tensors stay tied when they are converted: the same view of the same storage, and the same type.
        if let From::File(contents, tensor) = weight.from
            && let Some(storage) = tensor.storage
        {
            let key = (std::ptr::from_ref(contents).addr(), storage, kind);
            let earlier = converted.entry(key).or_default();
            let tied = earlier.iter().find(|(other, _)| match weights[*other].from {
                From::File(_, other) => other.is_tied_to(tensor),
                From::Memory(_) => false,
            });
            if let Some(&(_, storage)) = tied {
                views.push(View { storage, offset: 0, strides });
                continue;
            }
            earlier.push((index, storages.len()));
        }
        let from = match weight.place()? {
            Some(section) => Source::Place(section),
            None => Source::Gather(index),
        };
        let elements = weight.bytes() / kind.width() as u64;
        views.push(View { storage: storages.len(), offset: 0, strides });
        storages.push(Storage { scalar_type: kind, elements, from });
    }
    Ok((storages, views))
}

/// Identifies the storage of a weight, by the address of its file's contents and its index.
fn shared_key(weight: &Weight<'_>) -> Option<(usize, usize)> {
    match weight.from {
        From::File(contents, tensor) if !weight.is_converted() && tensor.elements() > 0 => {
            Some((std::ptr::from_ref(contents).addr(), tensor.storage?))
        }
        _ => None,
    }
}

impl View {
    /// The call that rebuilds the tensor.
    fn value(&self, weight: &Weight<'_>, storage: &Storage) -> Value {
        let class = storage.scalar_type.storage_class();
        // Without a storage class, the storage is untyped bytes, and the tensor has the type.
        let (module, name, count) = match class {
            Some(class) => ("torch", class, storage.elements),
            None => ("torch.storage", "UntypedStorage", storage.elements * storage.scalar_type.width() as u64),
        };
        let persistent = Value::Persistent(Box::new(Value::Tuple(vec![
            Value::text("storage"),
            Value::global(module, name),
            Value::text(self.storage.to_string()),
            Value::text("cpu"),
            Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
        ])));
        let mut arguments = vec![
            persistent,
            Value::size(self.offset),
            Value::sizes(weight.shape()),
            Value::sizes(&self.strides),
            Value::Bool(false), // requires_grad: a state_dict holds plain tensors
            Value::Call(Box::new(Value::global("collections", "OrderedDict")), vec![]),
        ];
        let function = if class.is_some() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" };
        if class.is_none() {
            arguments.push(Value::global("torch", storage.scalar_type.torch_name()));
        }
        Value::Call(Box::new(Value::global("torch._utils", function)), arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::{DType, ModelFile};

    #[test]
    fn what_is_written_is_read_and_stays_shared() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.pth"), folder.path().join("b.pth"));
        let tensors = [
            Tensor::from_f32("w", vec![2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap(),
            Tensor::new("n", DType::I64, vec![], vec![9; 8]).unwrap(),
        ];
        write_tensors(&first, &tensors).unwrap();
        let file = ModelFile::open(&first).unwrap();
        assert_eq!(file.contents.kind, crate::model_file::Kind::StateDict);
        let w = file.contents.find("w").unwrap();
        assert_eq!(file.contents.tensor(w).unwrap(), tensors[0]);

        let mut view = w.clone();
        (view.shape, view.strides, view.offset) = (vec![2], vec![1], 2);
        let weights = [Weight::of_file("whole", &file.contents, w), Weight::of_file("part", &file.contents, &view)];
        write(&second, &weights).unwrap();
        let file = ModelFile::open(&second).unwrap();
        assert_eq!(file.contents.storages.len(), 1, "both are views of one storage");
        let part = file.contents.find("part").unwrap();
        assert_eq!(file.contents.tensor(part).unwrap().to_f32().unwrap(), [3.0, 4.0]);
    }

    #[test]
    fn tied_tensors_stay_tied_when_they_are_converted() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.pth"), folder.path().join("b.pth"));
        write_tensors(&first, &[Tensor::from_f32("w", vec![2], &[1.0, 2.0]).unwrap()]).unwrap();
        let file = ModelFile::open(&first).unwrap();
        let w = file.contents.find("w").unwrap();
        let half = |name: &str| Weight::of_file(name, &file.contents, w).converted(ScalarType::Float16);
        write(&second, &[half("a"), half("b")]).unwrap();
        let file = ModelFile::open(&second).unwrap();
        assert_eq!(file.contents.storages.len(), 1);
        assert_eq!(file.contents.read(&file.contents.tensors[1]).unwrap(), [0, 0x3c, 0, 0x40]);
    }
}
