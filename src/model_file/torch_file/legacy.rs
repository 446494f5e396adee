//! The format before torch 1.6, which `_use_new_zipfile_serialization=False` still writes: a magic number, a protocol
//! version, the writer's system, the object and a list of keys, each as a pickle, followed by the storages.

use std::collections::HashMap;

use super::rebuild::{self, StorageKey, Storages};
use super::{about, broken, next, walk, zip};
use crate::model_file::contents::Contents;
use crate::model_file::source::Section;
use crate::model_file::unpickle::{Budget, Evidence, Manner, Node, Pickle, Stream};
use crate::model_file::{Error, words};

/// The number 0x1950a86a20f9469cfc6c in a pickle: LONG1 with ten bytes.
const MAGIC: [u8; 12] = *b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// Whether a file begins with this format's magic number, which pickle protocols 4 and 5 put into a frame.
pub fn is_legacy(beginning: &[u8]) -> bool {
    match beginning {
        [0x80, 4..=5, 0x95, _, _, _, _, _, _, _, _, rest @ ..] | [0x80, _, rest @ ..] => rest.starts_with(&MAGIC),
        _ => false,
    }
}

/// Reads a file of this format.
///
/// # Errors
/// When it is incomplete, or has an invalid tensor.
pub fn read(file: &Section, budget: &mut Budget, evidence: &mut Evidence) -> Result<Contents, Error> {
    let mut stream = Stream::new(file.clone());
    let mut read = |manner| next(&mut stream, manner, budget, evidence).map_err(|e| broken(file, &e));
    let (_magic, protocol, system) = (read(Manner::Plain)?, read(Manner::Plain)?, read(Manner::Plain)?);
    let (object, keys) = (read(Manner::Torch)?, read(Manner::Plain)?);
    if protocol.int(protocol.root()) != Some(1001) {
        return Err(file.malformed("has an unknown protocol: torch writes 1001"));
    }
    let storages = storages(file, stream.position(), &object, &keys)?;
    let mut contents = walk::contents(&object, &storages).map_err(|e| about(file, e))?;
    let end = storages.sections.iter().fold(stream.position(), |at, part| at + 8 + part.length());
    if end != file.length() {
        evidence.doubt(format!("{} bytes follow the model", file.length() - end));
    }
    contents.storages = storages.sections;
    contents.places = zip::places(&object);
    let entries = system.entries(system.root()).unwrap_or_default();
    contents.big_endian = system.get(&entries, "little_endian").is_some_and(|id| *system.node(id) == Node::Bool(false));
    contents
        .notes
        .push("saved in torch's format before 1.6: every reader must go through the whole pickle first".to_owned());
    Ok(contents)
}

/// The ranges of the storages: in the order of the list of keys, each an element count followed by the elements.
fn storages(file: &Section, start: u64, object: &Pickle, keys: &Pickle) -> Result<Storages, Error> {
    let mut named: HashMap<String, StorageKey> = HashMap::new();
    for node in object.nodes() {
        if let Node::Persistent(key) = node
            && let Some(storage) = rebuild::storage_key(object, *key)
        {
            named.entry(storage.key.clone()).or_insert(storage);
        }
    }
    let mut storages = Storages::default();
    let mut at = start;
    for &key in keys.items(keys.root()).ok_or_else(|| file.malformed("has no list of storages"))? {
        let key = keys.text(key).map(str::to_owned).or_else(|| keys.int(key).map(|key| key.to_string()));
        let storage = key.and_then(|key| named.get(&key));
        let storage = storage.ok_or_else(|| file.malformed("lists a storage that is not used"))?;
        let mut count = [0; 8];
        file.read_into(at, &mut count)?;
        let bytes = u64::try_from(i64::from_le_bytes(count))
            .ok()
            .and_then(|count| count.checked_mul(storage.scalar_type.width() as u64));
        let section = bytes.and_then(|bytes| file.part(at + 8, bytes)).ok_or_else(|| {
            let key = words::printable(&storage.key, 60);
            file.malformed(&format!("storage '{key}' is larger than the file"))
        })?;
        at += 8 + section.length();
        storages.keys.insert(storage.key.clone(), storages.sections.len());
        storages.sections.push(section);
    }
    Ok(storages)
}
