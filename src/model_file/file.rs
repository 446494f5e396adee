//! A model file, whatever its form: opened, judged and described without reading a tensor.

use std::path::{Path, PathBuf};

use crate::model_file::contents::{Contents, Kind};
use crate::model_file::safety::{self, Import, Safety};
use crate::model_file::source::Section;
use crate::model_file::torch_file::{self, legacy, zip};
use crate::model_file::unpickle::{Budget, Evidence};
use crate::model_file::zip_directory::ZipDirectory;
use crate::model_file::{Error, export, folder, io_error, safetensors_header, words};

/// How many bytes tell the form of a file.
const BEGINNING: u64 = 32;

/// A model file that has been opened.
#[derive(Debug)]
pub struct ModelFile {
    /// The file whose tensors these are: in a folder, the one that was chosen.
    pub path: PathBuf,
    /// What it holds.
    pub contents: Contents,
    /// Whether loading it in Python would be safe; in a folder, the worst of all its files.
    pub safety: Safety,
    /// What loading would import, in order.
    pub imports: Vec<Import>,
    /// What its pickles do that no model's does, in words.
    pub tricks: Vec<String>,
    /// How it was saved and what is needed to load it, in a sentence.
    pub saved: String,
    /// The size of the file, or of all files that belong to it.
    pub file_bytes: u64,
}

impl ModelFile {
    /// Opens a file, an index of safetensors files, or a folder that holds a model. No tensor is read and no pickle is
    /// executed.
    ///
    /// # Errors
    /// When it cannot be read, or is no model that is known. A pickle that breaks off but would have done dangerous
    /// things before that is no error: it is described, and the verdict says what it is.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(path).map_err(io_error(path))?;
        if metadata.is_dir() { folder::open(path) } else { Self::open_file(path) }
    }

    /// Opens a single file.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub(crate) fn open_file(path: &Path) -> Result<Self, Error> {
        let section = Section::open(path)?;
        let mut evidence = Evidence::default();
        let read = read(&section, &mut evidence);
        let (safety, imports) = safety::verdict(&evidence);
        let contents = match read {
            Ok(contents) => contents,
            Err(error) if safety == Safety::Dangerous => {
                let mut contents = Contents::new(Kind::Unknown);
                contents
                    .notes
                    .push(format!("it cannot be read to its end: {}", words::printable(&error.to_string(), 400)));
                contents
            }
            Err(error) => return Err(error),
        };
        // The names in a TorchScript archive are its own: nothing is imported for them.
        let own = |import: &Import| {
            contents.kind == Kind::TorchScript
                && (import.module == "__torch__" || import.module.starts_with("__torch__."))
        };
        let imports: Vec<Import> = imports.into_iter().filter(|import| !own(import)).collect();
        let worst = imports.iter().map(|import| import.safety).max().unwrap_or(Safety::Safe);
        let safety = if evidence.tricks().is_empty() { worst } else { safety };
        Ok(Self {
            path: path.to_owned(),
            saved: saved(&contents, &imports),
            tricks: evidence.tricks().iter().map(|trick| format!("the pickle {trick}")).collect(),
            safety,
            imports,
            file_bytes: contents.storages.iter().fold(section.length(), |all, part| {
                // Files beside this one belong to it as well: the shards of an index.
                if part.path() == path { all } else { all + part.length() }
            }),
            contents,
        })
    }
}

/// Reads a file by its first bytes, not by its name.
fn read(file: &Section, evidence: &mut Evidence) -> Result<Contents, Error> {
    let beginning =
        file.part(0, BEGINNING.min(file.length())).map_or(Ok(Vec::new()), |part| part.read_all(BEGINNING))?;
    let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut budget = Budget::default();
    if beginning.is_empty() {
        return Err(file.malformed("is empty"));
    }
    if ZipDirectory::is_zip(&beginning) || beginning.starts_with(b"PK") {
        let directory = ZipDirectory::read(file.clone())?;
        return read_zip(&directory, &mut budget, evidence);
    }
    if legacy::is_legacy(&beginning) {
        return legacy::read(file, &mut budget, evidence);
    }
    if safetensors_header::is_safetensors(&beginning, file.length()) {
        return safetensors_header::read(file);
    }
    if name.ends_with(".index.json") {
        return safetensors_header::read_index(file);
    }
    if name.ends_with(".safetensors") {
        return Err(file.malformed("not a whole safetensors file (the header is not there)"));
    }
    if beginning.starts_with(b"\x1f\x8b") {
        return Err(file.malformed("is compressed with gzip: unpack it first"));
    }
    // Any other bytes may still be a pickle: those of protocol 0 and 1 have no mark of their own.
    torch_file::read_pickle(file, &mut budget, evidence).map_err(|error| match error {
        Error::Malformed { path, .. } if beginning[0] != 0x80 && evidence.imports().is_empty() => Error::Malformed {
            path,
            reason: "is no model file: neither a torch archive, nor safetensors, nor a pickle".to_owned(),
        },
        other => other,
    })
}

fn read_zip(directory: &ZipDirectory, budget: &mut Budget, evidence: &mut Evidence) -> Result<Contents, Error> {
    let mut inner = Vec::new();
    for name in directory.names() {
        // Archives keep archives: example inputs of an export, the weights of an old one.
        if (name.ends_with(".pt") || name.ends_with(".pth"))
            && let Ok(Some(member)) = directory.member(name)
            && let Ok(nested) = ZipDirectory::read(member)
            && zip::is_torch(&nested)
        {
            let _ = zip::read(&nested, budget, evidence); // only for the verdict
            inner.push(words::printable(name, 80));
        }
    }
    if zip::is_torch(directory) {
        return zip::read(directory, budget, evidence);
    }
    if export::is_export(directory) {
        return export::read(directory);
    }
    let mut contents = Contents::new(Kind::Unknown);
    contents.notes.push("a zip that is no archive of torch: it has no data.pkl".to_owned());
    for name in directory.names().iter().filter(|name| name.ends_with(".pkl")) {
        if let Ok(Some(member)) = directory.member(name) {
            let _ = torch_file::read_pickle(&member, budget, evidence); // only for the verdict
        }
    }
    Ok(contents)
}

/// How it was saved, and what Python needs to load it.
fn saved(contents: &Contents, imports: &[Import]) -> String {
    let strict =
        imports.iter().all(|import| import.safety == Safety::Safe && !import.module.starts_with("torch.nn.modules"));
    match contents.kind {
        Kind::Module | Kind::Checkpoint | Kind::StateDict
            if imports.iter().any(|import| import.safety == Safety::Dangerous) =>
        {
            "by torch.save, with something in it that no model needs: it must not be loaded".to_owned()
        }
        Kind::Module => {
            let mut classes: Vec<String> =
                imports.iter().filter(|import| import.safety != Safety::Safe).map(Import::dotted).collect();
            classes.truncate(6);
            let need = if classes.is_empty() {
                "torch alone".to_owned()
            } else {
                format!("{} importable under exactly that name", classes.join(", "))
            };
            format!("the whole model, by torch.save(model): loading it needs weights_only=False and {need}")
        }
        Kind::StateDict => {
            "a state_dict, by torch.save(model.state_dict()): loading it needs the model's class, built with the same sizes".to_owned()
        }
        Kind::Checkpoint if strict => {
            "a checkpoint dictionary, by torch.save({…}): torch.load(weights_only=True) opens it".to_owned()
        }
        Kind::Checkpoint => "a checkpoint, by torch.save({…}): torch.load(weights_only=True) refuses what is in it".to_owned(),
        Kind::TorchScript => "TorchScript, by torch.jit.save: torch.jit.load needs nothing else".to_owned(),
        Kind::Safetensors => "safetensors: weights alone; the model's class is needed, and no pickle is involved".to_owned(),
        Kind::Export => "an exported program, by torch.export.save: torch.export.load needs nothing else".to_owned(),
        Kind::MlflowModel => "an MLflow model: mlflow.pyfunc.load_model opens the folder".to_owned(),
        Kind::Unknown => "not a form that torch saves".to_owned(),
    }
}
