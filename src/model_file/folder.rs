//! Opens a folder with a model: an MLflow model, or several files. It chooses one of them, and explains the choice.
//!
//! Every file is inspected, whatever its name. The safety is the worst of all files, and never "safe" if one of them
//! was not understood.

use std::path::{Path, PathBuf};

use crate::model_file::contents::{Contents, Kind};
use crate::model_file::file::ModelFile;
use crate::model_file::names::{ENDINGS, has_ending, is_code, is_data, is_native};
use crate::model_file::safety::Safety;
use crate::model_file::{Error, io_error, mlflow, words};

/// The limits of folder depth, of inspected entries, and of models to choose from.
const DEPTH: usize = 32;
const ENTRIES: usize = 20_000;
const KEPT: usize = 64;

/// What was found in a folder so far.
#[derive(Default)]
struct Found {
    opened: Vec<(String, ModelFile)>,
    notes: Vec<String>,
    safety: Option<Safety>,
    imports: Vec<crate::model_file::safety::Import>,
    tricks: Vec<String>,
    doubts: Vec<String>,
    reservations: Vec<String>,
    mistaken: Option<String>,
}

impl ModelFile {
    /// Opens a file, an index of safetensors files, or a folder with a model. No tensor is read, and no pickle is
    /// executed.
    ///
    /// # Errors
    /// When it cannot be read, or is not a known kind of model. A truncated pickle that would do something dangerous
    /// first is not an error: it is described, and its safety says so.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(path).map_err(io_error(path))?;
        if metadata.is_dir() { open(path) } else { Self::open_file(path) }
    }
}

/// Opens the model in a folder.
///
/// # Errors
/// [`Error::NoModel`] when there is no model; [`Error::Malformed`] when none of its files could be read.
pub fn open(folder: &Path) -> Result<ModelFile, Error> {
    let malformed = |reason: &str| Error::Malformed { path: folder.to_owned(), reason: reason.to_owned() };
    let (files, links) = files(folder)?;
    let mut found = Found::default();
    let mut described = None;
    for path in &files {
        let shown = words::printable(&path.strip_prefix(folder).unwrap_or(path).display().to_string(), 120);
        if path.file_name().is_some_and(|name| name == "MLmodel") {
            found.reservations.push("MLflow loads it with code that the folder refers to".to_owned());
            match mlflow::describe(path)? {
                Some(about) => {
                    found.doubts.extend(about.doubts.iter().cloned());
                    described = described.or(Some(about));
                }
                None => found.notes.push(format!("{shown} has no flavors: MLflow cannot load it")),
            }
        } else {
            found.look(path, shown, is_shard(path, &files));
        }
    }
    found.doubts.extend(links.iter().map(|link| {
        let shown = words::printable(&link.strip_prefix(folder).unwrap_or(link).display().to_string(), 120);
        format!("{shown} is a symbolic link and was not followed")
    }));
    found.opened.sort_by_key(|(name, file)| (rank(file), name.clone()));
    if found.opened.is_empty() && described.is_none() {
        return Err(match found.doubts.first() {
            Some(doubt) => malformed(doubt),
            None => {
                let mistaken = found.mistaken.is_some();
                let reason = found.mistaken.unwrap_or_else(|| "contains no model file".to_owned());
                Error::NoModel { path: folder.to_owned(), reason, mistaken }
            }
        });
    }
    Ok(found.model(folder, described))
}

impl Found {
    /// Inspects a file. A shard counts only for the safety.
    fn look(&mut self, path: &Path, shown: String, shard: bool) {
        if is_code(&shown) || is_native(&shown) {
            self.reservations.push(format!("{shown} is code"));
        }
        match ModelFile::open_file(path) {
            Ok(file) => {
                self.safety = self.safety.max(Some(file.safety));
                for import in &file.imports {
                    if !self.imports.contains(import) {
                        self.imports.push(import.clone());
                    }
                }
                let about = |what: &String| format!("{shown}: {what}");
                self.tricks.extend(file.tricks.iter().map(about));
                self.doubts.extend(file.doubts.iter().map(about));
                self.reservations.extend(file.reservations.iter().map(about));
                if !shard {
                    self.opened.push((shown, file));
                }
                if self.opened.len() > KEPT {
                    self.opened.sort_by_key(|(name, file)| (rank(file), name.clone()));
                    self.opened.truncate(KEPT / 2);
                }
            }
            Err(Error::NoModel { reason, mistaken, .. }) => {
                let meant = has_ending(&shown, &ENDINGS);
                if meant && mistaken {
                    self.mistaken.get_or_insert_with(|| format!("{shown} {reason}"));
                    self.notes.push(format!("{shown} {reason}"));
                }
                if meant || !is_data(&shown) {
                    self.reservations.push(format!("{shown} has an unknown format"));
                }
            }
            Err(error) => {
                let why = words::printable(&error.to_string(), 300);
                self.notes.push(format!("{shown} cannot be read: {why}"));
                self.doubts.push(format!("{shown} cannot be read: {why}"));
            }
        }
    }

    /// The chosen model, with the safety of all files.
    fn model(mut self, folder: &Path, described: Option<mlflow::Described>) -> ModelFile {
        if self.opened.len() > 1 {
            let name = |(name, file): &(String, ModelFile)| format!("{name} ({})", kind_word(file));
            let others: Vec<_> = self.opened[1..].iter().map(name).collect();
            let (name, file) = &self.opened[0];
            self.notes
                .insert(0, format!("{name} was chosen: {}; the folder also has {}", why(file), others.join(", ")));
        } else if let Some((name, _)) = self.opened.first() {
            self.notes.insert(0, format!("the model is {name}"));
        }
        for (name, file) in self.opened.iter().skip(1).filter(|(_, file)| file.safety != Safety::Safe) {
            self.notes.push(format!("{name} is {}, but the folder is rated by its least safe file", file.safety));
        }
        let mut chosen = match self.opened.into_iter().next() {
            Some((_, file)) => file,
            None => empty(folder),
        };
        self.notes.append(&mut chosen.contents.notes);
        chosen.contents.notes = self.notes;
        let when = |found: bool, safety| if found { safety } else { Safety::Safe };
        chosen.safety = self
            .safety
            .unwrap_or(Safety::Safe)
            .max(when(!self.reservations.is_empty(), Safety::Unknown))
            .max(when(!self.doubts.is_empty(), Safety::Unjudged));
        (chosen.imports, chosen.tricks) = (self.imports, self.tricks);
        (chosen.doubts, chosen.reservations) = (self.doubts, self.reservations);
        chosen.reservations.truncate(20);
        if let Some(described) = described {
            chosen.contents.notes.splice(0..0, described.notes);
            chosen.contents.kind = Kind::MlflowModel;
            chosen.saved = described.saved;
            chosen.loads = String::new();
        }
        chosen
    }
}

fn empty(folder: &Path) -> ModelFile {
    ModelFile {
        path: folder.to_owned(),
        contents: Contents::new(Kind::Unknown),
        safety: Safety::Safe,
        imports: Vec::new(),
        tricks: Vec::new(),
        doubts: Vec::new(),
        reservations: Vec::new(),
        saved: String::new(),
        loads: String::new(),
        file_bytes: 0,
    }
}

/// Whether a file is a shard of one of these indexes. The index represents all its shards.
fn is_shard(path: &Path, files: &[PathBuf]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".safetensors")
        && files.iter().filter(|file| file.parent() == path.parent()).any(|index| {
            let index = index.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = index.strip_suffix(".safetensors.index.json");
            stem.and_then(|stem| name.strip_prefix(stem)).is_some_and(|rest| rest.starts_with('-'))
        })
}

/// All files, sorted, and links to folders. Only links to files are followed, so the walk ends.
fn files(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let mut found = Vec::new();
    let mut indexes = Vec::new();
    let mut links = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    let mut entries = 0;
    while let Some((folder, depth)) = folders.pop() {
        let too_much = |what: String| Err(Error::Malformed { path: folder.clone(), reason: what });
        for entry in std::fs::read_dir(&folder).map_err(io_error(&folder))? {
            let entry = entry.map_err(io_error(&folder))?;
            entries += 1;
            if entries > ENTRIES {
                return too_much(format!("has more than {ENTRIES} entries: use the model file itself"));
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(io_error(&path))?;
            if kind.is_dir() {
                if depth >= DEPTH {
                    return too_much(format!(
                        "has folders nested more than {DEPTH} levels deep: use the model file itself"
                    ));
                }
                folders.push((path, depth + 1));
            } else if !path.is_file() {
                links.push(path);
            } else if entry.file_name().to_string_lossy().ends_with(".safetensors.index.json") {
                indexes.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.append(&mut indexes);
    found.sort();
    Ok((found, links))
}

/// The order of choice: models that need the least to be loaded, and run the least code, come first.
fn rank(file: &ModelFile) -> u8 {
    let dangerous = if file.safety >= Safety::Unjudged { 10 } else { 0 };
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
        Kind::TorchScript => "a TorchScript file can be loaded without its class",
        Kind::Export => "an exported program can be loaded without its class",
        Kind::Safetensors => "weights without a pickle",
        Kind::StateDict => "a state_dict needs the least code to load",
        _ => "it contains the most information",
    }
}

fn kind_word(file: &ModelFile) -> String {
    serde_json::to_value(file.contents.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
}
