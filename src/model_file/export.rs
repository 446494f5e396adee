//! Archives of `torch.export.save`, described: a graph in JSON, and the weights beside it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::model_file::contents::{Contents, Kind, LazyTensor, Role};
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::torch_file::zip::text;
use crate::model_file::zip_directory::ZipDirectory;
use crate::model_file::{Error, words};

const CONFIG_LIMIT: u64 = 32 << 20;

/// Whether an archive is one of `torch.export`.
pub fn is_export(zip: &ZipDirectory) -> bool {
    zip.has("archive_format") || zip.has("serialized_exported_program.json")
}

/// `data/weights/model_weights_config.json`.
#[derive(Deserialize)]
struct Config {
    config: BTreeMap<String, Weight>,
}

#[derive(Deserialize)]
struct Weight {
    path_name: String,
    #[serde(default)]
    is_param: bool,
    #[serde(default)]
    use_pickle: bool,
    tensor_meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    dtype: u32,
    sizes: Vec<Value>,
    strides: Vec<Value>,
    storage_offset: Value,
}

/// Reads the table of weights of an export archive.
///
/// # Errors
/// When the archive is not whole.
pub fn read(zip: &ZipDirectory) -> Result<Contents, Error> {
    let mut contents = Contents::new(Kind::Export);
    contents.big_endian = text(zip, "byteorder")?.is_some_and(|order| order == "big");
    if let Some(version) = text(zip, "archive_version")? {
        contents.notes.push(format!("archive version {}", words::printable(&version, 20)));
    }
    let graphs = zip.names().iter().filter(|name| name.starts_with("models/") && name.ends_with(".json")).count();
    if graphs > 0 {
        contents.notes.push(format!("{graphs} exported graph{}", if graphs == 1 { "" } else { "s" }));
    }
    let configs: Vec<String> = zip
        .names()
        .into_iter()
        .filter(|name| name.starts_with("data/weights/") && name.ends_with("_weights_config.json"))
        .map(str::to_owned)
        .collect();
    if configs.is_empty() {
        contents
            .notes
            .push("an archive of an older torch.export: its weights are a pickle inside and not listed".to_owned());
    }
    for name in &configs {
        let Some(member) = zip.member(name)? else { continue };
        let config: Config = serde_json::from_slice(&member.read_all(CONFIG_LIMIT)?)
            .map_err(|error| zip.file().malformed(&format!("{name} is no table of weights ({error})")))?;
        for (name, weight) in config.config {
            add(zip, &mut contents, name, &weight)?;
        }
    }
    Ok(contents)
}

fn add(zip: &ZipDirectory, contents: &mut Contents, name: String, weight: &Weight) -> Result<(), Error> {
    let file = zip.file();
    let wrong = |what: &str| file.malformed(&format!("weight '{}' {what}", words::printable(&name, 120)));
    let Some(meta) = weight.tensor_meta.as_ref().filter(|_| !weight.use_pickle) else {
        contents.notes.push(format!("weight '{}' is kept as a pickle of its own", words::printable(&name, 120)));
        return Ok(());
    };
    let scalar_type = scalar_type(meta.dtype).ok_or_else(|| wrong("is of a type that is not known"))?;
    let path = format!("data/weights/{}", weight.path_name);
    let section = zip.member(&path)?.ok_or_else(|| wrong("is not in the archive"))?;
    let number = |value: &Value| {
        value
            .get("as_int")
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| wrong("has no fixed shape"))
    };
    let shape: Vec<usize> = meta.sizes.iter().map(number).collect::<Result<_, _>>()?;
    let strides: Vec<usize> = meta.strides.iter().map(number).collect::<Result<_, _>>()?;
    let (offset, storage) = (number(&meta.storage_offset)?, Some(contents.storages.len()));
    let role = if weight.is_param { Role::Parameter } else { Role::Buffer };
    let length = section.length();
    let tensor = LazyTensor { name, scalar_type, shape, strides, offset, storage, role, special: None };
    tensor.check(length).map_err(|e| file.malformed(&e.to_string()))?;
    contents.storages.push(section);
    contents.tensors.push(tensor);
    Ok(())
}

/// The numbers of `torch._export.serde.schema.ScalarType`, which are not those of torch itself.
fn scalar_type(number: u32) -> Option<ScalarType> {
    Some(match number {
        1 => ScalarType::UInt8,
        2 => ScalarType::Int8,
        3 => ScalarType::Int16,
        4 => ScalarType::Int32,
        5 => ScalarType::Int64,
        6 => ScalarType::Float16,
        7 => ScalarType::Float32,
        8 => ScalarType::Float64,
        9 => ScalarType::Complex32,
        10 => ScalarType::Complex64,
        11 => ScalarType::Complex128,
        12 => ScalarType::Bool,
        13 => ScalarType::BFloat16,
        28 => ScalarType::UInt16,
        29 => ScalarType::Float8E4M3FN,
        30 => ScalarType::Float8E5M2,
        31 => ScalarType::Float8E4M3FNUZ,
        32 => ScalarType::Float8E5M2FNUZ,
        33 => ScalarType::Float8E8M0FNU,
        34 => ScalarType::UInt32,
        35 => ScalarType::UInt64,
        _ => return None,
    })
}
