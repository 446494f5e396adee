//! A folder that holds a model: an MLflow model, or files among which one must be chosen. The choice is explained.

use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::model_file::contents::Kind;
use crate::model_file::file::ModelFile;
use crate::model_file::safety::Safety;
use crate::model_file::{Error, io_error, words};

/// Endings of files that may be models.
const ENDINGS: [&str; 9] = ["pt", "pth", "pt2", "ckpt", "bin", "safetensors", "pkl", "pickle", "model"];
/// How deep a model may lie, how many entries are looked at, and how many files are opened.
const DEPTH: usize = 4;
const ENTRIES: usize = 20_000;
const CANDIDATES: usize = 64;
/// The longest `MLmodel`.
const MLMODEL: u64 = 1 << 20;

/// Opens the model in a folder.
///
/// # Errors
/// When there is none, or the one that was chosen cannot be read.
pub fn open(folder: &Path) -> Result<ModelFile, Error> {
    let malformed = |reason: &str| Error::Malformed { path: folder.to_owned(), reason: reason.to_owned() };
    let mlflow = folder.join("MLmodel");
    let description = if mlflow.is_file() { Some(describe(&mlflow)?) } else { None };
    let candidates = candidates(folder)?;
    let mut opened = Vec::new();
    let mut notes = Vec::new();
    let mut worst = (Safety::Safe, Vec::new(), Vec::new());
    for path in &candidates {
        let shown = words::printable(&path.strip_prefix(folder).unwrap_or(path).display().to_string(), 120);
        match ModelFile::open_file(path) {
            Ok(file) => {
                worst.0 = worst.0.max(file.safety);
                for import in &file.imports {
                    if !worst.1.contains(import) {
                        worst.1.push(import.clone());
                    }
                }
                worst.2.extend(file.tricks.iter().map(|trick| format!("{shown}: {trick}")));
                opened.push((shown, file));
            }
            Err(error) => notes.push(format!("{shown} cannot be read: {}", words::printable(&error.to_string(), 300))),
        }
    }
    opened.sort_by_key(|(name, file)| (rank(file), name.clone()));
    if opened.is_empty() && description.is_none() {
        let reason = notes.into_iter().next().unwrap_or_else(|| "has no model file in it".to_owned());
        return Err(malformed(&reason));
    }
    if opened.len() > 1 {
        let others: Vec<_> = opened[1..].iter().map(|(name, file)| format!("{name} ({})", kind_word(file))).collect();
        let (name, file) = &opened[0];
        notes.insert(0, format!("{name} was chosen: {}; also here: {}", why(file), others.join(", ")));
    } else if let Some((name, _)) = opened.first() {
        notes.insert(0, format!("the model is {name}"));
    }
    for (name, file) in opened.iter().skip(1).filter(|(_, file)| file.safety != Safety::Safe) {
        notes.push(format!("{name} is {}: the verdict is the worst of the folder", file.safety));
    }
    let mut chosen = match opened.into_iter().next() {
        Some((_, file)) => file,
        None => empty(folder),
    };
    notes.append(&mut chosen.contents.notes);
    chosen.contents.notes = notes;
    (chosen.safety, chosen.imports, chosen.tricks) = worst;
    if let Some(described) = description {
        chosen.contents.notes.splice(0..0, described.notes);
        chosen.contents.kind = Kind::MlflowModel;
        chosen.saved = described.saved;
    }
    Ok(chosen)
}

fn empty(folder: &Path) -> ModelFile {
    ModelFile {
        path: folder.to_owned(),
        contents: crate::model_file::contents::Contents::new(Kind::Unknown),
        safety: Safety::Safe,
        imports: Vec::new(),
        tricks: Vec::new(),
        saved: String::new(),
        file_bytes: 0,
    }
}

/// Files that may be models, sorted. Links are followed to files only, so the walk ends.
fn candidates(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut indexes = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    let mut entries = 0;
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(io_error(&folder))? {
            let entry = entry.map_err(io_error(&folder))?;
            entries += 1;
            if entries > ENTRIES {
                let reason = format!("has more than {ENTRIES} entries: name the model file itself");
                return Err(Error::Malformed { path: folder, reason });
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(io_error(&path))?;
            if kind.is_dir() && depth < DEPTH {
                folders.push((path, depth + 1));
                continue;
            }
            if !path.is_file() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".safetensors.index.json") {
                indexes.push(path);
            } else if path.extension().is_some_and(|end| ENDINGS.iter().any(|one| end == *one)) {
                found.push(path);
            }
        }
    }
    // The shards of an index are one model, which the index stands for.
    let stem = |index: &PathBuf| {
        let name = index.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (index.parent().map(Path::to_owned), name.trim_end_matches(".safetensors.index.json").to_owned())
    };
    let stems: Vec<_> = indexes.iter().map(stem).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !stems.iter().any(|(folder, stem)| {
            path.parent().map(Path::to_owned) == *folder
                && name.ends_with(".safetensors")
                && name.strip_prefix(stem.as_str()).is_some_and(|rest| rest.starts_with('-'))
        })
    });
    found.append(&mut indexes);
    found.sort();
    if found.len() > CANDIDATES {
        let reason = format!("has {} files that may be models: name one of them", found.len());
        return Err(Error::Malformed { path: folder.to_owned(), reason });
    }
    Ok(found)
}

/// The order of choice: what needs least to be loaded, and runs least.
fn rank(file: &ModelFile) -> u8 {
    let dangerous = if file.safety == Safety::Dangerous { 10 } else { 0 };
    dangerous
        + match file.contents.kind {
            Kind::TorchScript => 0,
            Kind::Export => 1,
            Kind::Safetensors => 2,
            Kind::StateDict => 3,
            Kind::Checkpoint => 4,
            Kind::Module => 5,
            Kind::MlflowModel | Kind::Unknown => 6,
        }
}

fn why(file: &ModelFile) -> &'static str {
    match file.contents.kind {
        Kind::TorchScript => "a TorchScript file needs no class to be loaded",
        Kind::Export => "an exported program needs no class to be loaded",
        Kind::Safetensors => "weights without a pickle",
        Kind::StateDict => "a state_dict needs less than the others",
        _ => "the others tell less",
    }
}

fn kind_word(file: &ModelFile) -> String {
    serde_json::to_value(file.contents.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
}

struct Described {
    notes: Vec<String>,
    saved: String,
}

/// What an `MLmodel` file says.
fn describe(path: &Path) -> Result<Described, Error> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    let bytes = crate::model_file::source::Section::open(path)?.read_all(MLMODEL)?;
    // An alias in YAML can make a little text enormous; an MLmodel has none.
    let text = String::from_utf8(bytes).map_err(|_| malformed("is no UTF-8".to_owned()))?;
    if text.lines().any(|line| line.split_whitespace().any(|word| word.starts_with('*') || word.starts_with('&'))) {
        return Err(malformed("has YAML anchors, which MLflow does not write".to_owned()));
    }
    let value: Value = serde_yaml::from_str(&text).map_err(|error| malformed(format!("is no YAML ({error})")))?;
    let flavors =
        value.get("flavors").and_then(Value::as_mapping).ok_or_else(|| malformed("names no flavors".to_owned()))?;
    let names: Vec<String> =
        flavors.keys().filter_map(Value::as_str).map(|name| words::printable(name, 60)).take(12).collect();
    let mut notes = vec![format!("flavors: {}", names.join(", "))];
    for (key, label) in [("mlflow_version", "written by MLflow"), ("run_id", "of the run")] {
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
        "an MLflow model: mlflow.pyfunc.load_model opens the folder, and runs the pickle in it".to_owned()
    } else {
        "an MLflow model: mlflow.pyfunc.load_model opens the folder".to_owned()
    };
    Ok(Described { notes, saved })
}
