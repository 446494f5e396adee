//! Builds tensors from a pickle's calls, as `torch._utils._rebuild_tensor_v2` and similar functions would.

use std::collections::HashMap;

use crate::model_file::contents::{LazyTensor, Role, row_major};
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::source::Section;
use crate::model_file::unpickle::{Call, Id, Pickle};
use crate::model_file::{Error, words};

/// The maximum number of dimensions, which is torch's own limit.
const DIMENSIONS: usize = 64;
/// The maximum length of a storage key. torch's keys are numbers.
const KEY: usize = 256;

/// The storages of a file, by their keys in pickles.
#[derive(Debug, Default)]
pub struct Storages {
    /// Their ranges in the file.
    pub sections: Vec<Section>,
    /// The index of the storage for each key.
    pub keys: HashMap<String, usize>,
}

/// A reference to a storage in a pickle: `('storage', FloatStorage, '0', 'cpu', 200)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageKey {
    /// Its key in the file.
    pub key: String,
    /// Its element type; a byte type if it is untyped.
    pub scalar_type: ScalarType,
    /// The number of elements.
    pub elements: u64,
    /// A view of another storage, as in very old files: key, first element, number of elements.
    pub view: Option<(String, u64, u64)>,
}

/// Reads a persistent key as a reference to a storage.
pub fn storage_key(pickle: &Pickle, key: Id) -> Option<StorageKey> {
    let items = pickle.items(key)?;
    let [tag, class, name, _location, elements, rest @ ..] = items else { return None };
    if pickle.text(*tag) != Some("storage") {
        return None;
    }
    let (_, class) = pickle.global(*class)?;
    let scalar_type = match class {
        "UntypedStorage" | "_UntypedStorage" => ScalarType::UInt8,
        class => ScalarType::from_storage_class(class)?,
    };
    let view = rest.first().and_then(|&view| pickle.items(view)).and_then(|view| match view {
        [key, offset, size] => {
            Some((pickle.text(*key)?.to_owned(), pickle.size(*offset)? as u64, pickle.size(*size)? as u64))
        }
        _ => None,
    });
    let key = match pickle.text(*name) {
        Some(text) if text.len() > KEY => return None,
        Some(text) => text.to_owned(),
        None => pickle.int(*name)?.to_string(),
    };
    Some(StorageKey { key, scalar_type, elements: pickle.size(*elements)? as u64, view })
}

/// The tensor that a value represents. `None` if it is no tensor. Its name is still empty.
///
/// # Errors
/// When the value represents a tensor, but not a valid one.
pub fn tensor(pickle: &Pickle, id: Id, storages: &Storages) -> Result<Option<LazyTensor>, Error> {
    // A parameter is a call around a call; torch writes only a few levels.
    tensor_within(pickle, id, storages, 6)
}

fn tensor_within(pickle: &Pickle, id: Id, storages: &Storages, deep: u8) -> Result<Option<LazyTensor>, Error> {
    let Some(call) = pickle.call(id) else { return Ok(None) };
    let Some((module, name)) = pickle.global(call.callable) else { return Ok(None) };
    let Some(deeper) = deep.checked_sub(1) else { return Ok(None) };
    let inner = |index: usize| match call.arguments.get(index) {
        Some(&id) => tensor_within(pickle, id, storages, deeper),
        None => Ok(None),
    };
    let parameter = |tensor: Option<LazyTensor>| tensor.map(|tensor| LazyTensor { role: Role::Parameter, ..tensor });
    match (module, name) {
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Ok(parameter(inner(0)?)),
        ("torch.nn.parameter", "Parameter") => Ok(parameter(inner(0)?)),
        ("torch.nn.parameter", "Buffer") => inner(0),
        ("torch._tensor", "_rebuild_from_type_v2") => from_type(pickle, call, storages, deeper),
        ("torch._utils", "_rebuild_tensor") => strided(pickle, call, storages, None).map(Some),
        ("torch._utils", "_rebuild_tensor_v2") => strided(pickle, call, storages, None).map(Some),
        ("torch._utils", "_rebuild_tensor_v3") => {
            let dtype = call.arguments.get(6).and_then(|&dtype| scalar_type(pickle, dtype));
            let dtype = dtype.ok_or_else(|| impossible("has an unknown element type"))?;
            strided(pickle, call, storages, Some(dtype)).map(Some)
        }
        ("torch._utils", "_rebuild_qtensor") => quantised(pickle, call, storages).map(Some),
        ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
            sparse(pickle, call, storages, deeper).map(Some)
        }
        ("torch._utils", "_rebuild_meta_tensor_no_storage") => meta(pickle, call).map(Some),
        ("torch._utils", other) if other.starts_with("_rebuild_") => {
            Ok(Some(described(&format!("a tensor made by {}", words::printable(other, 60)), ScalarType::UInt8, vec![])))
        }
        _ => Ok(None),
    }
}

/// `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor of a subclass, or with attributes.
fn from_type(pickle: &Pickle, call: &Call, storages: &Storages, deep: u8) -> Result<Option<LazyTensor>, Error> {
    let [function, class, arguments, ..] = &*call.arguments else { return Ok(None) };
    let Some(arguments) = pickle.items(*arguments).filter(|all| all.len() <= DIMENSIONS) else { return Ok(None) };
    let call =
        Call { callable: *function, arguments: arguments.into(), state: None, items: Vec::new(), entries: Vec::new() };
    let is_parameter = pickle.is_global(*class, "torch.nn.parameter", "Parameter");
    let made = match pickle.global(*function) {
        Some(("torch._utils", "_rebuild_tensor_v2")) => Some(strided(pickle, &call, storages, None)?),
        Some(("torch._utils", "_rebuild_tensor_v3")) => {
            let dtype = arguments.get(6).and_then(|&dtype| scalar_type(pickle, dtype));
            Some(strided(pickle, &call, storages, dtype)?)
        }
        Some(("torch._utils", "_rebuild_parameter")) => match arguments.first() {
            Some(&inner) => tensor_within(pickle, inner, storages, deep)?,
            None => None,
        },
        _ => None,
    };
    Ok(made.map(|tensor| if is_parameter { LazyTensor { role: Role::Parameter, ..tensor } } else { tensor }))
}

/// `(storage, offset, size, strides, …)`.
fn strided(pickle: &Pickle, call: &Call, storages: &Storages, dtype: Option<ScalarType>) -> Result<LazyTensor, Error> {
    let [storage, offset, shape, strides, rest @ ..] = &*call.arguments else {
        return Err(impossible("lacks arguments"));
    };
    let storage = match pickle.node(*storage) {
        crate::model_file::unpickle::Node::Persistent(key) => storage_key(pickle, *key),
        // A typed storage around an untyped one, as in some files of torch 1.13.
        _ => None,
    };
    let storage = storage.ok_or_else(|| impossible("has an unknown kind of storage"))?;
    let index = storages.keys.get(&storage.key);
    let &index = index.ok_or_else(|| {
        impossible(&format!("needs storage '{}', which the file does not have", words::printable(&storage.key, 60)))
    })?;
    let offset = pickle.size(*offset).ok_or_else(|| impossible("has an invalid offset"))?;
    let (shape, strides) = (sizes(pickle, *shape)?, sizes(pickle, *strides)?);
    let scalar_type = dtype.unwrap_or(storage.scalar_type);
    // In the old format, only this flag marks trainable tensors; in a `state_dict` it is false.
    let trained = rest.first().is_some_and(|&flag| *pickle.node(flag) == crate::model_file::unpickle::Node::Bool(true));
    let role = if trained { Role::Parameter } else { Role::Unsaid };
    let tensor = LazyTensor {
        name: String::new(),
        scalar_type,
        shape,
        strides,
        offset,
        storage: Some(index),
        role,
        special: None,
    };
    let length = storages.sections.get(index).map_or(0, Section::length);
    tensor.check(length)?;
    Ok(tensor)
}

fn quantised(pickle: &Pickle, call: &Call, storages: &Storages) -> Result<LazyTensor, Error> {
    let mut tensor = strided(pickle, call, storages, None)?;
    let scheme =
        call.arguments.get(4).and_then(|&scheme| pickle.items(scheme)).and_then(|items| items.first().copied());
    let scheme = scheme.and_then(|scheme| pickle.global(scheme)).map_or("quantised", |(_, name)| name);
    tensor.special = Some(format!("quantised ({})", words::printable(scheme, 40)));
    tensor.role = Role::Unsaid;
    Ok(tensor)
}

/// `(layout, (indices, values, size, …))`: only the shape and type are read.
fn sparse(pickle: &Pickle, call: &Call, storages: &Storages, deep: u8) -> Result<LazyTensor, Error> {
    let layout = call.arguments.first().and_then(|&layout| pickle.call(layout));
    let layout = layout.and_then(|layout| layout.arguments.first()).and_then(|&name| pickle.text(name));
    let layout = layout.map_or("sparse", |name| name.trim_start_matches("torch.")).to_owned();
    let parts = call.arguments.get(1).and_then(|&parts| pickle.items(parts)).unwrap_or_default();
    let mut dtype = None;
    let mut shape = None;
    for &part in parts.iter().take(6) {
        match tensor_within(pickle, part, storages, deep)? {
            Some(tensor) => dtype = Some(tensor.scalar_type), // the values come last
            None if shape.is_none() => shape = sizes(pickle, part).ok(),
            None => {}
        }
    }
    Ok(described(&words::printable(&layout, 40), dtype.unwrap_or(ScalarType::Float32), shape.unwrap_or_default()))
}

/// `(dtype, size, strides, requires_grad)`: a shape without values.
fn meta(pickle: &Pickle, call: &Call) -> Result<LazyTensor, Error> {
    let [dtype, shape, ..] = &*call.arguments else { return Err(impossible("lacks arguments")) };
    let dtype = scalar_type(pickle, *dtype).ok_or_else(|| impossible("has an unknown element type"))?;
    Ok(described("on the meta device", dtype, sizes(pickle, *shape)?))
}

fn described(special: &str, scalar_type: ScalarType, shape: Vec<usize>) -> LazyTensor {
    let strides = row_major(&shape);
    let special = Some(special.to_owned());
    LazyTensor {
        name: String::new(),
        scalar_type,
        shape,
        strides,
        offset: 0,
        storage: None,
        role: Role::Unsaid,
        special,
    }
}

fn scalar_type(pickle: &Pickle, id: Id) -> Option<ScalarType> {
    match pickle.global(id)? {
        ("torch", name) => ScalarType::from_torch_name(name),
        _ => None,
    }
}

fn sizes(pickle: &Pickle, id: Id) -> Result<Vec<usize>, Error> {
    let items = pickle.items(id).ok_or_else(|| impossible("has an invalid shape"))?;
    if items.len() > DIMENSIONS {
        return Err(impossible(&format!("has {} dimensions", items.len())));
    }
    let size = |&item: &Id| pickle.size(item).ok_or_else(|| impossible("has an invalid size"));
    items.iter().map(size).collect()
}

fn impossible(reason: &str) -> Error {
    Error::Archive(format!("a tensor {reason}"))
}
