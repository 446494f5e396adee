//! Opens a model file of any format: detects the format, assesses its safety, and describes it without reading a
//! tensor.

use std::path::{Path, PathBuf};

use crate::model_file::contents::{Contents, Kind};
use crate::model_file::names;
use crate::model_file::safety::{self, Import, Safety};
use crate::model_file::source::Section;
use crate::model_file::torch_file::{self, legacy};
use crate::model_file::unpickle::{Budget, Evidence};
use crate::model_file::zip_directory::{self, ZipDirectory};
use crate::model_file::{Error, members, npy, packed, safetensors_header, saved, words};

/// How many bytes are needed to detect the format.
const BEGINNING: u64 = 64;
/// How deeply packed files may be nested.
const PACKED: u8 = 3;

/// An opened model file.
#[derive(Debug)]
pub struct ModelFile {
    /// The file with the tensors. In a folder, the chosen file.
    pub path: PathBuf,
    /// What it holds.
    pub contents: Contents,
    /// Whether loading it in Python would be safe. In a folder, the worst result of all its files.
    pub safety: Safety,
    /// What loading would import, in order.
    pub imports: Vec<Import>,
    /// Operations in its pickles that no model needs.
    pub tricks: Vec<String>,
    /// Why its safety cannot be determined.
    pub doubts: Vec<String>,
    /// Why it is never called safe.
    pub reservations: Vec<String>,
    /// How it was saved and what is needed to load it, in one sentence.
    pub saved: String,
    /// The Python statement that loads it. Empty if there is none.
    pub loads: String,
    /// The size of the file, or of all its files.
    pub file_bytes: u64,
}

impl ModelFile {
    /// Opens a single file.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub(crate) fn open_file(path: &Path) -> Result<Self, Error> {
        let section = Section::open(path)?;
        let mut evidence = Evidence::default();
        let read = read(&section, &mut Budget::of(section.length()), &mut evidence, PACKED);
        let (safety, imports) = safety::assess(&evidence);
        let contents = match read {
            Ok(contents) => contents,
            Err(error) if safety == Safety::Dangerous => {
                let mut contents = Contents::new(Kind::Unknown);
                contents
                    .notes
                    .push(format!("it cannot be read completely: {}", words::printable(&error.to_string(), 400)));
                contents
            }
            Err(error) => return Err(error),
        };
        // Names in a TorchScript archive are its own, or torch's names of list types. They import nothing.
        let own = |import: &Import| {
            contents.kind == Kind::TorchScript
                && (import.module == "__torch__"
                    || import.module.starts_with("__torch__.")
                    || import.module == "torch.jit._pickle")
        };
        let imports: Vec<Import> = imports.into_iter().filter(|import| !own(import)).collect();
        Ok(Self {
            path: path.to_owned(),
            saved: saved::saved(&contents, &imports, &evidence),
            loads: saved::loads(path, &contents, &imports, &evidence),
            tricks: evidence.tricks().iter().map(|trick| format!("the pickle {trick}")).collect(),
            doubts: evidence.doubts().to_vec(),
            reservations: evidence.reservations().to_vec(),
            safety: safety::overall(&evidence, &imports),
            imports,
            file_bytes: contents.storages.iter().fold(section.length(), |all, part| {
                // Other files that belong to this one count too: the shards of an index.
                if part.path() == path { all } else { all + part.length() }
            }),
            contents,
        })
    }
}

impl ModelFile {
    /// Whose code runs when it is loaded, or why it is not called safe.
    pub fn runs(&self) -> String {
        let mut packages: Vec<&str> = Vec::new();
        for import in self.imports.iter().filter(|import| import.safety == Safety::Unknown) {
            let package = safety::package(&import.module);
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        packages.truncate(5);
        match (packages.is_empty(), self.reservations.first()) {
            (false, _) => format!("runs the code of {} when it is loaded", words::printable(&packages.join(", "), 200)),
            (true, Some(reservation)) => reservation.clone(),
            (true, None) => "loading it runs code that is not part of torch".to_owned(),
        }
    }

    /// Why it is dangerous, or why its safety cannot be determined. Empty if it is neither.
    pub fn objections(&self) -> Vec<String> {
        let bad = self.imports.iter().filter(|import| import.safety == self.safety && self.safety >= Safety::Unjudged);
        let mut why: Vec<String> = bad.map(|import| format!("{} {}", import.dotted(), import.power)).collect();
        why.extend(self.tricks.iter().cloned());
        why.extend(self.doubts.iter().cloned());
        why
    }
}

/// Detects the format by the first bytes, not by the name, with the same precedence as torch, and reads the file.
pub(super) fn read(file: &Section, budget: &mut Budget, evidence: &mut Evidence, deep: u8) -> Result<Contents, Error> {
    let beginning =
        file.part(0, BEGINNING.min(file.length())).map_or(Ok(Vec::new()), |part| part.read_all(BEGINNING))?;
    if beginning.is_empty() {
        return Err(no_model(file, "is empty"));
    }
    if beginning.starts_with(b"PK") {
        let directory = ZipDirectory::read(file.clone())?;
        return members::read(&directory, budget, evidence, deep, read);
    }
    if packed::is_tar(file)? {
        return Err(packed::tar(file));
    }
    if zip_directory::has_end(file)? {
        evidence.doubt("it ends like a zip archive, which torch.jit.load would read instead");
    }
    if let Some(reason) = packed::mistaken(&beginning) {
        return Err(Error::NoModel { path: file.path().to_owned(), reason: reason.to_owned(), mistaken: true });
    }
    if legacy::is_legacy(&beginning) {
        return legacy::read(file, budget, evidence);
    }
    if safetensors_header::is_safetensors(&beginning, file.length()) {
        let contents = safetensors_header::read(file)?;
        suspect_pickle(file, evidence);
        return Ok(contents);
    }
    if npy::is_npy(&beginning) {
        return npy::read(file, budget, evidence);
    }
    let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.ends_with(".index.json") {
        return safetensors_header::read_index(file);
    }
    if let Some(inner) = packed::unpacked(file, &beginning)? {
        let Some(deep) = deep.checked_sub(1) else { return Err(file.malformed("is compressed too many times")) };
        evidence.reservation("it is compressed");
        return read(&inner, budget, evidence, deep);
    }
    // Other bytes may still be a pickle: protocols 0 and 1 have no signature.
    let mut own = Evidence::default();
    let read = torch_file::read_pickle(file, budget, &mut own);
    let what = if name.ends_with(".safetensors") { NO_HEADER } else { NEITHER };
    // Words in a text may look like an import that is not used.
    let chance = own.is_empty()
        || is_text(&name)
            && own.is_idle()
            && own.imports().iter().all(|(module, name)| !safety::is_dangerous(module, name));
    match read {
        Ok(_) if is_text(&name) && chance => Err(no_model(file, what)),
        Err(Error::Malformed { .. }) if !is_pickle(&beginning) && chance && torch_file::breaks_off(file) => {
            Err(no_model(file, what))
        }
        other => {
            evidence.absorb(own);
            other
        }
    }
}

const NO_HEADER: &str = "not a complete safetensors file (the header is missing)";
const NEITHER: &str = "is not a model file: it is neither a torch archive, nor safetensors, nor a pickle";

fn no_model(file: &Section, reason: &str) -> Error {
    Error::NoModel { path: file.path().to_owned(), reason: reason.to_owned(), mistaken: false }
}

/// Whether a file begins with the signature of pickle protocol 2 or later.
fn is_pickle(beginning: &[u8]) -> bool {
    beginning.first() == Some(&0x80)
}

/// Whether the name is that of a text file. Text can by chance be a valid pickle.
fn is_text(name: &str) -> bool {
    let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_none_or(|ending| names::DATA.contains(&ending.as_str()))
}

/// A file of another format may also be a valid pickle, which `torch.load` would run if the file has torch's extension.
fn suspect_pickle(file: &Section, evidence: &mut Evidence) {
    let mut other = Evidence::default();
    let read = torch_file::read_pickle(file, &mut Budget::default(), &mut other);
    if read.is_ok() || !other.is_empty() {
        evidence.doubt("it can also be read as a pickle");
    }
    evidence.suspect(&other, safety::is_dangerous);
}
