//! Closing an output: what a successful step wrote, as a list of files that cannot be changed by accident.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{StoreError, at};
use crate::clock::Timestamp;
use crate::digest::files_below;

/// What an output held when its step succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Every file, in path order.
    pub files: Vec<SealedFile>,
    /// All their sizes together, in bytes.
    pub bytes: u64,
    /// When it was sealed.
    pub sealed: Timestamp,
}

/// One file of a sealed output, and how to see that it was touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// Its path in the output.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: u64,
}

/// The record beside an output tree.
#[must_use]
pub fn record(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".seal.json");
    name.into()
}

/// Seals an output tree: takes the write permission from its files and writes the record beside it. Folders stay
/// writable, so that a person can remove `.amlrun` without a fight.
///
/// # Errors
/// When the tree cannot be read, or the record cannot be written.
pub fn seal(output: &Path) -> Result<Seal, StoreError> {
    let mut files = Vec::new();
    let mut names = files_below(output).map_err(at("list the output", output))?;
    names.sort();
    for name in names {
        let path = output.join(&name);
        let metadata = fs::metadata(&path).map_err(at("look at the output", &path))?;
        let is_link = path.is_symlink();
        if !is_link && !metadata.permissions().readonly() {
            let mut permissions = metadata.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&path, permissions).map_err(at("make read-only", &path))?;
        }
        let modified = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        files.push(SealedFile {
            path: name.to_string_lossy().replace('\\', "/"),
            size: metadata.len(),
            modified: u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX),
        });
    }
    let seal = Seal { bytes: files.iter().map(|f| f.size).sum(), files, sealed: Timestamp::now() };
    let place = record(output);
    let text = serde_json::to_vec(&seal).unwrap_or_default();
    let fresh = place.with_extension("tmp");
    fs::write(&fresh, text).map_err(at("write", &fresh))?;
    fs::rename(&fresh, &place).map_err(at("write", &place))?;
    Ok(seal)
}

/// The seal of an output, when it has one.
#[must_use]
pub fn read(output: &Path) -> Option<Seal> {
    serde_json::from_slice(&fs::read(record(output)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_output_is_listed_and_read_only() {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("run.step.model");
        fs::create_dir_all(output.join("sub")).unwrap();
        fs::write(output.join("sub/w"), "12345").unwrap();
        let sealed = seal(&output).unwrap();
        assert_eq!((sealed.files.len(), sealed.bytes), (1, 5));
        assert!(fs::metadata(output.join("sub/w")).unwrap().permissions().readonly());
        assert_eq!(read(&output), Some(sealed));
        assert_eq!(read(&root.path().join("other")), None);
    }
}
