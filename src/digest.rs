//! Content digests (BLAKE3) of bytes, files and folders.
//!
//! A folder's digest covers each file's relative path, size and content, in path order: the same tree has the same
//! digest in every location. [`HashedFile`] can add which files are executable. This module must not know what the
//! bytes mean. The store, the registry and the snapshot of `code:` call it.

mod read;

use std::cmp::Ordering;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::fs::at;
use crate::fs::walk::files_below;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Up to this many files, with at most a certain number of bytes, are read by one thread.
const FEW: usize = 32;
const LITTLE: u64 = 256 << 10;

/// Small pieces are collected into a buffer of this size before they are hashed.
const MANY: usize = 64 << 10;

/// A BLAKE3 digest, shown as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from(blake3::hash(bytes))
    }

    /// The digest of one file's content, read by all cores.
    ///
    /// # Errors
    /// The I/O error, with the path in its text.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let size = path.metadata().map_err(|e| at(path, &e))?.len();
        Ok(Self::from(read::hash(path, size)?.0))
    }

    /// The digest of a file or folder. For a folder, it covers each file's path relative to the folder (with `/`), its
    /// size and its own digest. Symbolic links are followed. Empty folders are ignored, because Azure ML drops them.
    ///
    /// # Errors
    /// The first I/O error, with the path in its text.
    pub fn of_tree(root: &Path) -> io::Result<Self> {
        if root.is_file() {
            return Self::of_file(root);
        }
        let mut files = Vec::new();
        for file in files_below(root)? {
            let path = root.join(&file);
            let size = path.metadata().map_err(|e| at(&path, &e))?.len();
            files.push((tree_path(&file), path, size));
        }
        files.sort_by(|a, b| tree_order(&a.0, &b.0));
        let files: Vec<_> = files.iter().map(|(path, source, size)| (path.as_str(), source.as_path(), *size)).collect();
        Ok(Self::of_hashed(&HashedFile::read_all(&files, &|_, _| true)?))
    }

    /// The digest of a folder whose files were read before. They must be in [`tree_order`].
    #[must_use]
    pub fn of_hashed(files: &[HashedFile]) -> Self {
        let mut hasher = blake3::Hasher::new();
        // BLAKE3 is several times faster on many bytes at once.
        let mut bytes = Vec::with_capacity(MANY.min(files.len() * 96));
        for file in files {
            // No path is so long that its length needs the upper bits.
            let length = file.path.len() as u64 | u64::from(file.execute) << 56;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(file.path.as_bytes());
            bytes.extend_from_slice(&file.size.to_le_bytes());
            bytes.extend_from_slice(&file.hash);
            if bytes.len() >= MANY - 8192 {
                hasher.update(&bytes);
                bytes.clear();
            }
        }
        hasher.update(&bytes);
        Self::from(hasher.finalize())
    }

    /// The digest with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self::from(blake3::Hash::from_bytes(bytes))
    }

    /// A digest from its stored hexadecimal digits. They are not validated.
    #[must_use]
    pub fn from_text(digits: String) -> Self {
        Self(digits)
    }

    /// Its first twelve digits, which are enough for people to tell digests apart.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// All 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.to_hex().to_string())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", self.short())
    }
}

/// A file of a tree, and the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedFile {
    /// Its path in the tree, with `/`.
    pub path: String,
    /// How many bytes were read.
    pub size: u64,
    /// Their BLAKE3 digest.
    pub hash: [u8; 32],
    /// Who may execute it, in the form of [`execute_bits`]. 0 if that does not matter.
    pub execute: u8,
}

impl HashedFile {
    /// Reads many files, each given by its path in the tree, its location and its expected size. The results have the
    /// same order. If a file's size has changed, the bytes that were read count. All cores are used if there is enough
    /// to read: waking them costs more than reading a few small files. After a file was read, `is_still` gets its index
    /// and metadata, and decides whether it is still the expected file.
    ///
    /// # Errors
    /// The first I/O error, with the path in its text; or an error for a file that `is_still` rejects.
    pub fn read_all(
        files: &[(&str, &Path, u64)],
        is_still: &(dyn Fn(usize, &Metadata) -> bool + Sync),
    ) -> io::Result<Vec<Self>> {
        let read = |(number, &(path, source, size)): (usize, &(&str, &Path, u64))| {
            let (hash, size, metadata) = read::hash(source, size)?;
            if !is_still(number, &metadata) {
                return Err(io::Error::other(format!("{}: changed while it was being read", source.display())));
            }
            Ok(Self { path: path.to_owned(), size, hash: *hash.as_bytes(), execute: 0 })
        };
        if files.len() <= FEW && files.iter().map(|file| file.2).sum::<u64>() <= LITTLE {
            return files.iter().enumerate().map(read).collect();
        }
        files.par_iter().enumerate().map(read).collect()
    }

    /// The digest of its content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash)
    }
}

/// The order of files in a tree's digest: folder by folder, in the order of path components, not of bytes.
#[must_use]
pub fn tree_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    // `/` sorts before every other byte, so that the files of a folder stay together.
    let rank = |path: &[u8]| path.get(common).map(|&byte| if byte == b'/' { 0 } else { byte });
    rank(a).cmp(&rank(b))
}

/// Who may execute a file: the three execute bits of its mode.
#[must_use]
pub fn execute_bits(metadata: &Metadata) -> u8 {
    (metadata.permissions().mode() & 0o111) as u8
}

/// A relative path as a name in a tree. Different paths always have different names: a backslash is doubled, and bytes
/// that are not valid UTF-8 become `\xNN`.
#[must_use]
pub fn tree_path(path: &Path) -> String {
    use std::fmt::Write as _;
    match path.to_str() {
        Some(text) if !text.contains('\\') => text.to_owned(),
        _ => {
            let mut name = String::new();
            for chunk in path.as_os_str().as_bytes().utf8_chunks() {
                name.push_str(&chunk.valid().replace('\\', "\\\\"));
                for byte in chunk.invalid() {
                    // Writing to a string cannot fail.
                    let _ = write!(name, "\\x{byte:02x}");
                }
            }
            name
        }
    }
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

    #[test]
    fn files_are_ordered_as_their_paths_are() {
        let mut paths = ["a/b", "a-b", "a", "a/b/c", "a.b/c", "b", "a/b-c", "a/c"];
        let mut as_paths = paths;
        paths.sort_by(|a, b| tree_order(a, b));
        as_paths.sort_by(|a, b| Path::new(a).cmp(Path::new(b)));
        assert_eq!(paths, as_paths);
    }

    #[test]
    fn no_two_paths_have_one_name() {
        use std::ffi::OsStr;
        let paths = [&b"a/b"[..], b"a\\b", b"a\\\\b", b"\xff", b"\xfe", b"\\xff", "ÿ".as_bytes(), b"\xef\xbf\xbd"];
        let names: std::collections::HashSet<_> =
            paths.iter().map(|path| tree_path(Path::new(OsStr::from_bytes(path)))).collect();
        assert_eq!(names.len(), paths.len(), "{names:?}");
        assert_eq!(tree_path(Path::new("a/ä")), "a/ä");
    }

    #[test]
    fn errors_name_the_path() {
        let error = Digest::of_file(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"));
    }
}
