//! Reads the `MLmodel` file of an MLflow model: its description, and whose code MLflow would run to load it.

use std::path::Path;

use serde_yaml::Value;

use crate::model_file::source::Section;
use crate::model_file::{Error, words};

/// The maximum size of an `MLmodel` file.
const MLMODEL: u64 = 1 << 20;
/// The loader that the native stages write into the models that they register.
const OWN_LOADER: (&str, &str) = ("amlrun_pyfunc", include_str!("../bin/amlrun-stage/amlrun_pyfunc.py"));
/// The file in which MLflow's torch flavor names the module that reads its pickle.
const PICKLE_MODULE: &str = "pickle_module_info.txt";

/// The content of an `MLmodel` file.
pub(super) struct Described {
    pub notes: Vec<String>,
    pub saved: String,
    /// Why it is unknown what loading runs.
    pub doubts: Vec<String>,
}

/// Reads an `MLmodel` file and inspects the code that it names. `None` if it has no flavor.
///
/// # Errors
/// When it is not a valid `MLmodel` file.
pub(super) fn describe(path: &Path) -> Result<Option<Described>, Error> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    let bytes = Section::open(path)?.read_all(MLMODEL)?;
    // YAML aliases can expand a small text to a huge one. An MLmodel has none.
    let text = String::from_utf8(bytes).map_err(|_| malformed("is not valid UTF-8".to_owned()))?;
    let mut events = saphyr_parser::Parser::new_from_str(&text).map_while(Result::ok);
    if events.any(|(event, _)| matches!(event, saphyr_parser::Event::Alias(_))) {
        return Err(malformed("has YAML aliases, which MLflow does not write".to_owned()));
    }
    if nesting(&text) > 100 {
        return Err(malformed("is nested too deeply for a file of MLflow".to_owned()));
    }
    let value: Value =
        serde_yaml::from_str(&text).map_err(|error| malformed(format!("is not valid YAML ({error})")))?;
    // Without flavors, MLflow loads nothing.
    let Some(flavors) = value.get("flavors").and_then(Value::as_mapping) else { return Ok(None) };
    let names: Vec<String> =
        flavors.keys().filter_map(Value::as_str).map(|name| words::printable(name, 60)).take(12).collect();
    let mut notes = vec![format!("flavors: {}", names.join(", "))];
    for (key, label) in [("mlflow_version", "written by MLflow"), ("run_id", "from the run")] {
        if let Some(text) = value.get(key).and_then(Value::as_str) {
            notes.push(format!("{label} {}", words::printable(text, 80)));
        }
    }
    let torch = flavors.iter().find(|(name, _)| name.as_str() == Some("pytorch")).map(|(_, flavor)| flavor);
    if let Some(version) = torch.and_then(|flavor| flavor.get("pytorch_version")).and_then(Value::as_str) {
        notes.push(format!("torch {}", words::printable(version, 40)));
    }
    if value.get("signature").is_some() {
        notes.push("has a signature of its inputs and outputs".to_owned());
    }
    let pickled = torch.is_some() || names.iter().any(|name| name == "sklearn");
    let saved = if pickled {
        "an MLflow model: load the folder with mlflow.pyfunc.load_model, which runs the pickle in it".to_owned()
    } else {
        "an MLflow model: load the folder with mlflow.pyfunc.load_model".to_owned()
    };
    Ok(Some(Described { notes, saved, doubts: doubts(path, flavors) }))
}

/// How deeply brackets are nested, including those in quotes. The parser is slow to refuse deep nesting.
fn nesting(text: &str) -> usize {
    let step = |(depth, most): (usize, usize), c: char| match c {
        '[' | '{' => (depth + 1, most.max(depth + 1)),
        ']' | '}' => (depth.saturating_sub(1), most),
        _ => (depth, most),
    };
    text.chars().fold((0, 0), step).1
}

/// The code that MLflow would import from the folder or from an installed package.
fn doubts(path: &Path, flavors: &serde_yaml::Mapping) -> Vec<String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut doubts = Vec::new();
    for (name, flavor) in flavors {
        let text = |key: &str| flavor.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = words::printable(name.as_str().unwrap_or_default(), 60);
        let own =
            text("loader_module") == Some(OWN_LOADER.0) && text("code").is_some_and(|code| is_own(&folder.join(code)));
        if let Some(loader) = text("loader_module")
            && !loader.starts_with("mlflow.")
            && !own
        {
            doubts.push(format!("MLflow loads it with the module {}", words::printable(loader, 80)));
        }
        if let Some(code) = text("code")
            && !own
            && folder.join(code).exists()
        {
            doubts.push(format!("MLflow runs the code in {} to load it ({name})", words::printable(code, 80)));
        }
        if let Some(code) = text("model_code_path") {
            doubts.push(format!("the model is the code in {}, which MLflow runs", words::printable(code, 80)));
        }
        if leads_out(flavor, 0) {
            doubts.push(format!("the flavor {name} refers to files outside the folder"));
        }
        let data = folder.join(text("model_data").or(text("data")).unwrap_or("data"));
        if let Ok(module) = std::fs::read_to_string(data.join(PICKLE_MODULE))
            && !matches!(module.trim(), "mlflow.pytorch.pickle_module" | "pickle" | "torch")
        {
            doubts.push(format!("MLflow unpickles it with the module {}", words::printable(module.trim(), 80)));
        }
    }
    doubts
}

/// Whether a flavor names a file outside of the folder. The original location of an artifact does not matter.
fn leads_out(value: &Value, deep: u8) -> bool {
    match value {
        Value::String(text) => text.starts_with('/') || text.split(['/', '\\']).any(|part| part == ".."),
        Value::Mapping(fields) if deep < 8 => {
            fields.iter().any(|(key, value)| key.as_str() != Some("uri") && leads_out(value, deep + 1))
        }
        Value::Sequence(items) if deep < 8 => items.iter().any(|item| leads_out(item, deep + 1)),
        Value::Mapping(_) | Value::Sequence(_) | Value::Tagged(_) => true,
        _ => false,
    }
}

/// Whether a code folder is exactly what the native stages write.
fn is_own(code: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(code) else { return false };
    let names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
    let file = format!("{}.py", OWN_LOADER.0);
    names == [file.as_str()] && std::fs::read_to_string(code.join(file)).is_ok_and(|text| text == OWN_LOADER.1)
}
