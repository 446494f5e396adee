//! Content digests (BLAKE3) of bytes, files and folders.
//!
//! A folder's digest covers each file's relative path, size and content, in path order: the same tree
//! gives the same digest wherever it lies. Knows nothing of what the bytes mean. The store, the registry
//! and the snapshot of `code:` call it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A BLAKE3 digest, shown as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// The digest of one file's content, read through a memory map by all cores.
    ///
    /// # Errors
    /// The I/O error, with the path in its text.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        Ok(Self(hash_file(path)?.to_hex().to_string()))
    }

    /// The digest of a file or folder. In a folder each file adds its path relative to the folder (with `/`),
    /// its size and its own digest; symbolic links are followed, empty folders do not count (as on Azure ML,
    /// where they vanish).
    ///
    /// # Errors
    /// The first I/O error, with the path in its text.
    pub fn of_tree(root: &Path) -> io::Result<Self> {
        if root.is_file() {
            return Self::of_file(root);
        }
        let mut files = files_below(root)?;
        files.sort();
        let mut hasher = blake3::Hasher::new();
        for file in &files {
            let path = root.join(file);
            let name = file.to_string_lossy().replace('\\', "/");
            let size = path.metadata().map_err(|e| at(&path, &e))?.len();
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&size.to_le_bytes());
            hasher.update(hash_file(&path)?.as_bytes());
        }
        Ok(Self(hasher.finalize().to_hex().to_string()))
    }

    /// All 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", &self.0[..12.min(self.0.len())])
    }
}

/// Every file below `root`, relative to it, in no particular order. Symbolic links are followed.
///
/// # Errors
/// The first I/O error, with the path in its text; also for what is neither a file nor a folder: reading a pipe or a
/// device could wait for ever.
pub fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    walk(root, Links::Follow, &|_| false)
}

/// What a walk does with symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They stand for what they lead to.
    Follow,
    /// They are entries of their own: what they lead to belongs to somebody else.
    Keep,
}

/// The entries below `root` that are no folders, relative to it. Folders for which `skip` says so (it gets the whole
/// path) are left out with all that is in them.
///
/// # Errors
/// As [`files_below`].
pub fn walk(root: &Path, links: Links, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        for entry in std::fs::read_dir(&here).map_err(|e| at(&here, &e))? {
            let entry = entry.map_err(|e| at(&here, &e))?;
            let relative = folder.join(entry.file_name());
            let path = entry.path();
            let linked = entry.file_type().map_err(|e| at(&path, &e))?.is_symlink();
            if linked && links == Links::Keep {
                files.push(relative);
                continue;
            }
            let metadata = std::fs::metadata(&path).map_err(|e| at(&path, &e))?;
            if metadata.is_file() {
                files.push(relative);
            } else if !metadata.is_dir() {
                let message = format!("{}: this is neither a file nor a folder", path.display());
                return Err(io::Error::other(message));
            } else if !skip(&path) {
                if linked && here.canonicalize()?.starts_with(path.canonicalize()?) {
                    let message = format!("{}: this symbolic link leads back to a folder above it", path.display());
                    return Err(io::Error::other(message));
                }
                folders.push(relative);
            }
        }
    }
    Ok(files)
}

fn hash_file(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path).map_err(|e| at(path, &e))?;
    Ok(hasher.finalize())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_digest_depends_on_names_and_bytes_but_not_on_the_place() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [a.path(), b.path()] {
            std::fs::create_dir(root.join("sub")).unwrap();
            std::fs::write(root.join("sub/x"), "1").unwrap();
            std::fs::write(root.join("y"), "2").unwrap();
        }
        let first = Digest::of_tree(a.path()).unwrap();
        assert_eq!(first, Digest::of_tree(b.path()).unwrap());
        std::fs::rename(b.path().join("y"), b.path().join("z")).unwrap();
        assert_ne!(first, Digest::of_tree(b.path()).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_up_is_an_error_and_not_an_endless_walk() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert!(files_below(root.path()).unwrap_err().to_string().contains("leads back"));
    }

    #[test]
    fn errors_name_the_path() {
        let error = Digest::of_file(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"));
    }
}
