//! Describes archives of `torch.export.save`: a graph in JSON, and its weights.
//!
//! `torch.export.load` passes the expressions of the graph to sympy, which evaluates them as Python, and looks up its
//! operations by name. Both are checked here. Weights that are pickles are checked by the reader of all members.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use crate::model_file::contents::{Contents, Kind, LazyTensor, Role};
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::torch_file::zip::text;
use crate::model_file::unpickle::Evidence;
use crate::model_file::zip_directory::ZipDirectory;
use crate::model_file::{Error, words};

const CONFIG_LIMIT: u64 = 32 << 20;

/// Whether an archive is from `torch.export`.
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

/// Reads the table of weights of an export archive, and checks its graphs.
///
/// # Errors
/// When the archive is incomplete.
pub fn read(zip: &ZipDirectory, evidence: &mut Evidence) -> Result<Contents, Error> {
    evidence.reservation("an exported program contains code, which is not checked");
    let mut contents = Contents::new(Kind::Export);
    for name in zip.names().into_iter().filter(|name| name.ends_with(".json")) {
        let Some(member) = zip.member(name)? else { continue };
        match serde_json::from_slice(&member.read_all(CONFIG_LIMIT)?) {
            Ok(value) => look(&value, evidence, 0),
            Err(error) => evidence.doubt(format!("{} is not valid JSON ({error})", words::printable(name, 80))),
        }
    }
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
            .push("an archive of an older torch.export: its weights are in a pickle and are not listed".to_owned());
    }
    for name in &configs {
        let Some(member) = zip.member(name)? else { continue };
        let config: Config = serde_json::from_slice(&member.read_all(CONFIG_LIMIT)?)
            .map_err(|error| zip.file().malformed(&format!("{name} is not a valid table of weights ({error})")))?;
        for (name, weight) in config.config {
            add(zip, &mut contents, name, &weight)?;
        }
    }
    Ok(contents)
}

/// The members that hold only numbers, according to the tables of weights and constants.
pub fn raw_members(zip: &ZipDirectory) -> HashSet<String> {
    let (mut raw, mut pickled) = (HashSet::new(), HashSet::new());
    for name in zip.names().into_iter().filter(|name| name.ends_with("_config.json")) {
        let Some((folder, _)) = name.rsplit_once('/') else { continue };
        let Ok(Some(member)) = zip.member(name) else { continue };
        let Ok(bytes) = member.read_all(CONFIG_LIMIT) else { continue };
        let Ok(config) = serde_json::from_slice::<Config>(&bytes) else { continue };
        for weight in config.config.into_values() {
            let numbers =
                !weight.use_pickle && ["weight_", "tensor_"].iter().any(|own| weight.path_name.starts_with(own));
            if numbers { &mut raw } else { &mut pickled }.insert(format!("{folder}/{}", weight.path_name));
        }
    }
    raw.retain(|name| !pickled.contains(name));
    raw
}

/// The names allowed in sympy expressions, as torch prints them.
const SYMBOLS: [&str; 62] = [
    "Symbol",
    "Integer",
    "Rational",
    "Float",
    "Mul",
    "Add",
    "Pow",
    "Max",
    "Min",
    "Mod",
    "FloorDiv",
    "ModularIndexing",
    "CeilDiv",
    "PythonMod",
    "CleanDiv",
    "IntTrueDiv",
    "FloatTrueDiv",
    "Where",
    "ToFloat",
    "TruncToInt",
    "TruncToFloat",
    "RoundToInt",
    "RoundDecimal",
    "FloorToInt",
    "CeilToInt",
    "Identity",
    "Eq",
    "Ne",
    "Lt",
    "Le",
    "Gt",
    "Ge",
    "Equality",
    "Unequality",
    "StrictLessThan",
    "LessThan",
    "StrictGreaterThan",
    "GreaterThan",
    "And",
    "Or",
    "Not",
    "ITE",
    "Piecewise",
    "ExprCondPair",
    "oo",
    "int_oo",
    "true",
    "false",
    "True",
    "False",
    "BooleanTrue",
    "BooleanFalse",
    "precision",
    "positive",
    "negative",
    "nonnegative",
    "integer",
    "real",
    "zero",
    "Abs",
    "PowByNatural",
    "IsNonOverlappingAndDenseIndicator",
];

/// Searches a graph for expressions and operations.
fn look(value: &Value, evidence: &mut Evidence, deep: u8) {
    match value {
        Value::Object(fields) if deep < 120 => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("expr_str", Value::String(text)) if !is_expression(text) => {
                        evidence.trick("has an expression in its graph that is Python code, not arithmetic");
                    }
                    ("guards_code", Value::Array(lines)) if !lines.is_empty() => {
                        evidence.doubt("the graph has guards, which are Python code");
                    }
                    ("target", Value::String(name)) if !is_operation(name) => {
                        evidence.doubt(format!("the graph calls {}", words::printable(name, 80)));
                    }
                    _ => look(value, evidence, deep + 1),
                }
            }
        }
        Value::Array(items) if deep < 120 => items.iter().for_each(|item| look(item, evidence, deep + 1)),
        Value::Object(_) | Value::Array(_) => evidence.doubt("the graph is nested too deeply"),
        _ => {}
    }
}

fn is_expression(text: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let known = |word: &str| {
        // `s0`, `u12`, `zuf3`: a few letters and a number.
        let digits = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let symbol = word.len() - digits.len() <= 3 && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        symbol || SYMBOLS.contains(&word) || word.starts_with("OpaqueUnaryFn_")
    };
    text.chars().all(|c| is_name(c) && c.is_ascii() || "'\"(), =+-*/%<>.".contains(c))
        && text.split(|c| !is_name(c)).filter(|word| !word.is_empty()).all(known)
}

fn is_operation(name: &str) -> bool {
    ["torch.ops.", "_operator.", "math.", "torch.sym_"].iter().any(|root| name.starts_with(root))
        || !name.contains('.')
        || name.starts_with('#')
}

fn add(zip: &ZipDirectory, contents: &mut Contents, name: String, weight: &Weight) -> Result<(), Error> {
    let file = zip.file();
    let wrong = |what: &str| file.malformed(&format!("weight '{}' {what}", words::printable(&name, 120)));
    let Some(meta) = weight.tensor_meta.as_ref().filter(|_| !weight.use_pickle) else {
        contents.notes.push(format!("weight '{}' is stored as a separate pickle", words::printable(&name, 120)));
        return Ok(());
    };
    let scalar_type = scalar_type(meta.dtype).ok_or_else(|| wrong("has an unknown type"))?;
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

/// The type numbers of `torch._export.serde.schema.ScalarType`, which differ from those of torch itself.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_told_from_code() {
        for right in [
            "Mul(Integer(2), Symbol('s77', positive=True, integer=True))",
            "s0*2 + 1",
            "Max(1, u3)",
            "FloorDiv(s0, 2) <= 100",
        ] {
            assert!(is_expression(right), "{right}");
        }
        for wrong in
            ["__import__('os').system('x')", "s0.func", "[].append(1)", "eval('1')", "exec(s0)", "().__class__"]
        {
            assert!(!is_expression(wrong), "{wrong}");
        }
    }
}
