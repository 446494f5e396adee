//! Closing an output: what a successful step wrote, as a list of files that cannot be changed by accident.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{StoreError, at};
use crate::clock::Timestamp;
use crate::digest::{Links, walk};

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

/// The record of an output tree: in a folder of its own beside all trees, since an output may have any name.
#[must_use]
pub fn record(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".json");
    output.parent().unwrap_or(output).join(".seals").join(name)
}

/// Seals an output tree: takes the write permission from its files and writes the record beside it. Folders stay
/// writable, so that a person can remove `.amlrun` without a fight.
///
/// # Errors
/// When the tree cannot be read, or the record cannot be written.
pub fn seal(output: &Path) -> Result<Seal, StoreError> {
    let mut files = Vec::new();
    let mut names = walk(output, Links::Keep, &|_| false).map_err(at("list the output", output))?;
    names.sort();
    for name in names {
        let path = output.join(&name);
        let metadata = fs::symlink_metadata(&path).map_err(at("look at the output", &path))?;
        // A link leads to, and a file with a second name is, something that is not this output's alone.
        if metadata.is_file() && metadata.nlink() == 1 && !metadata.permissions().readonly() {
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
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
    }
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
    fn what_an_output_links_to_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (mine, output) = (root.path().join("mine"), root.path().join("out"));
        fs::create_dir_all(&mine).unwrap();
        fs::create_dir_all(&output).unwrap();
        for name in ["folder", "hard"] {
            fs::write(mine.join(name), "1").unwrap();
        }
        std::os::unix::fs::symlink(&mine, output.join("data")).unwrap();
        fs::hard_link(mine.join("hard"), output.join("one")).unwrap();
        seal(&output).unwrap();
        for name in ["folder", "hard"] {
            assert!(!fs::metadata(mine.join(name)).unwrap().permissions().readonly(), "{name} is the user's");
        }
    }

    #[test]
    fn a_pipe_in_an_output_is_told_and_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(seal(root.path()).unwrap_err().to_string().contains("neither a file nor a folder"));
    }

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
