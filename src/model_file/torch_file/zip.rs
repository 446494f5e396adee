//! torch's zip format: `data.pkl` with `data/0`, `data/1`, …; if it has `constants.pkl`, it is TorchScript.

use super::rebuild::{self, Storages};
use super::{about, pickle_of, script, walk};
use crate::model_file::contents::{Contents, Kind};
use crate::model_file::unpickle::{Budget, Evidence, Node, Pickle};
use crate::model_file::zip_directory::ZipDirectory;
use crate::model_file::{Error, words};

/// Whether an archive is from torch.
pub fn is_torch(zip: &ZipDirectory) -> bool {
    zip.has("data.pkl")
}

/// Reads an archive of `torch.save` or `torch.jit.save`. The caller checks members that neither of them writes.
///
/// # Errors
/// When it is incomplete, or has an invalid tensor.
pub fn read(zip: &ZipDirectory, budget: &mut Budget, evidence: &mut Evidence) -> Result<Contents, Error> {
    let torchscript = is_torchscript(zip);
    let file = zip.file();
    let data = zip.member("data.pkl")?.ok_or_else(|| file.malformed("the archive has no data.pkl"))?;
    let read = pickle_of(data, budget, evidence);
    if torchscript {
        // Even if the pickle is truncated: the code is run by another reader.
        script::read(zip, budget, evidence);
    }
    let pickle = read?;
    let storages = storages(zip, &pickle)?;
    let mut contents = walk::contents(&pickle, &storages).map_err(|e| about(file, e))?;
    contents.storages = storages.sections;
    contents.big_endian = text(zip, "byteorder")?.is_some_and(|order| order == "big");
    contents.places = places(&pickle);
    if torchscript {
        contents.kind = Kind::TorchScript;
        if let Some(version) = text(zip, "version")? {
            contents.notes.push(format!("TorchScript file format {}", words::printable(&version, 20)));
        }
    }
    Ok(contents)
}

/// Whether torch treats an archive as TorchScript, so that `torch.load` passes it to `torch.jit.load`.
pub fn is_torchscript(zip: &ZipDirectory) -> bool {
    zip.has("constants.pkl")
}

/// Whether `torch.save` writes this member and all readers treat it as plain bytes.
pub fn is_own(name: &str) -> bool {
    let storage = name.strip_prefix("data/").is_some_and(|key| !key.is_empty() && !key.contains('/'));
    storage
        || matches!(
            name,
            "data.pkl" | "byteorder" | "version" | ".format_version" | ".storage_alignment" | ".data/serialization_id"
        )
}

/// The devices of the storages when they were saved, each listed once: `cpu`, `cuda:0`.
pub(super) fn places(pickle: &Pickle) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    for node in pickle.nodes() {
        let Node::Persistent(key) = node else { continue };
        let place = pickle.items(*key).and_then(|items| items.get(3)).and_then(|&place| pickle.text(place));
        if let Some(place) = place
            && !places.iter().any(|known| known == place)
            && places.len() < 8
        {
            places.push(place.to_owned());
        }
    }
    places
}

/// The storages that the pickle refers to. Each key names a member.
fn storages(zip: &ZipDirectory, pickle: &Pickle) -> Result<Storages, Error> {
    let mut storages = Storages::default();
    for node in pickle.nodes() {
        let Node::Persistent(key) = node else { continue };
        let Some(storage) = rebuild::storage_key(pickle, *key) else { continue };
        if storages.keys.contains_key(&storage.key) {
            continue;
        }
        let name = format!("data/{}", storage.key);
        let Some(section) = zip.member(&name)? else { continue }; // told when a tensor needs it
        let claimed = storage.elements.checked_mul(storage.scalar_type.width() as u64);
        if claimed != Some(section.length()) {
            let reason = format!(
                "storage '{}' has {} elements of {}, but only {} bytes in the file",
                words::printable(&storage.key, 60),
                storage.elements,
                storage.scalar_type.torch_name(),
                section.length()
            );
            return Err(zip.file().malformed(&reason));
        }
        storages.keys.insert(storage.key, storages.sections.len());
        storages.sections.push(section);
    }
    Ok(storages)
}

/// A small member as text.
pub(crate) fn text(zip: &ZipDirectory, name: &str) -> Result<Option<String>, Error> {
    let Some(member) = zip.member(name)? else { return Ok(None) };
    Ok(Some(String::from_utf8_lossy(&member.read_all(1 << 16)?).trim().to_owned()))
}
