//! A file or folder as a list of files with what the system says of them, unread.
//!
//! The files are in the order of the tree's digest. [`super::walk`] finds them.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::walk::{FEW, below};
use crate::digest::tree_order;

/// How long after its last change a file must have rested for its stat to vouch for its content. The system's clock
/// for files advances in steps of up to 10 ms, so a file can change twice within one.
const RESTED: u64 = 50_000_000;

/// The same where times are kept in whole seconds (FAT: two).
const RESTED_COARSE: u64 = 2_000_000_000;

/// One file, as the system describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Its path in the tree, with `/`; for a tree that is one file its name.
    pub path: String,
    /// Where it lies.
    pub source: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified: u64,
    /// When anything of it last changed: no program can set this one back.
    pub changed: u64,
    /// Its number in the file system: another file under the same name has another one.
    pub inode: u64,
}

impl FileStat {
    pub(super) fn new(path: String, source: PathBuf, metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| {
            u64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(rest)).unwrap_or_default()
        };
        Self {
            path,
            source,
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Whether the file had rested at `moment`: whatever changes it from then on shows in its stat. A clock that was
    /// set back makes times lie in the future, which count as not rested.
    pub(super) fn rested(&self, moment: u64) -> bool {
        let coarse = self.changed.is_multiple_of(1_000_000_000);
        let rest = if coarse { RESTED_COARSE } else { RESTED };
        self.modified.max(self.changed).saturating_add(rest) < moment
    }
}

/// A digest over paths, sizes, times and inodes: equal means that nobody touched the tree.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Its hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn from_text(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stat:{}", self.0.get(..12).unwrap_or(&self.0))
    }
}

/// The files of a tree.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Every file, in the order of [`tree_order`].
    pub files: Vec<FileStat>,
    /// All their sizes together.
    pub bytes: u64,
    /// Whether the tree is one file and no folder.
    pub is_file: bool,
    /// When looking began, in nanoseconds since 1970.
    pub(super) began: u64,
}

impl Listing {
    /// Lists the file or folder at `root`. Symbolic links stand for what they lead to.
    ///
    /// # Errors
    /// The first I/O error, with the path in its text; also for a link back to a folder above it, and for what is
    /// neither a file nor a folder.
    pub fn of(root: &Path) -> io::Result<Self> {
        let began = now();
        let metadata = fs::metadata(root).map_err(|e| at(root, &e))?;
        if metadata.is_file() {
            let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return Ok(Self::new(vec![FileStat::new(name, root.to_owned(), &metadata)], true, began));
        }
        if !metadata.is_dir() {
            return Err(neither(root));
        }
        let files = below(root)?;
        Ok(Self::new(files, false, began))
    }

    /// Lists files that lie anywhere, each given as its path in the tree and where it lies.
    ///
    /// # Errors
    /// The first I/O error, with the path in its text; also for what is no file.
    pub fn of_files(files: Vec<(String, PathBuf)>) -> io::Result<Self> {
        let began = now();
        let stat = |(path, source): (String, PathBuf)| {
            let metadata = fs::metadata(&source).map_err(|e| at(&source, &e))?;
            if !metadata.is_file() {
                return Err(io::Error::other(format!("{}: this is not a file", source.display())));
            }
            Ok(FileStat::new(path, source, &metadata))
        };
        let files: io::Result<Vec<_>> = if files.len() <= FEW {
            files.into_iter().map(stat).collect()
        } else {
            files.into_par_iter().map(stat).collect()
        };
        Ok(Self::new(files?, false, began))
    }

    fn new(mut files: Vec<FileStat>, is_file: bool, began: u64) -> Self {
        // The walk gives them in order, but for names that are not Unicode or have a `\`.
        if !files.is_sorted_by(|a, b| tree_order(&a.path, &b.path).is_le()) {
            files.sort_by(|a, b| tree_order(&a.path, &b.path));
        }
        let bytes = files.iter().map(|file| file.size).sum();
        Self { files, bytes, is_file, began }
    }

    /// The digest of everything that is listed.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = Vec::with_capacity(1 + (self.files.len() * 96).min(64 << 10));
        bytes.push(u8::from(self.is_file));
        for file in &self.files {
            bytes.extend_from_slice(&(file.path.len() as u64).to_le_bytes());
            bytes.extend_from_slice(file.path.as_bytes());
            for number in [file.size, file.modified, file.changed, file.inode] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            if bytes.len() > 60 << 10 {
                hasher.update(&bytes);
                bytes.clear();
            }
        }
        hasher.update(&bytes);
        Fingerprint(hasher.finalize().to_hex().to_string())
    }

    /// Whether every file had rested when looking began. Otherwise one may change so soon after that its stat stays
    /// the same, and the fingerprint cannot be trusted later on.
    #[must_use]
    pub fn rested(&self) -> bool {
        self.files.iter().all(|file| file.rested(self.began))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn neither(path: &Path) -> io::Error {
    io::Error::other(format!("{}: this is neither a file nor a folder", path.display()))
}

pub(super) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_listed_in_the_order_of_its_digest_whatever_its_shape() {
        let root = tempfile::tempdir().unwrap();
        // More than one thread takes, wide and deep, and names that sort around '/'.
        for folder in ["a", "a-b", "a/b/c/d", "z/y"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for n in 0..700 {
            fs::write(root.path().join(format!("a/{n}")), "x").unwrap();
        }
        for file in ["a.txt", "a-b/f", "a/b/c/d/e", "a/b/c.x", "z/y/x", "0"] {
            fs::write(root.path().join(file), "yz").unwrap();
        }
        let listing = Listing::of(root.path()).unwrap();
        let mut paths = crate::digest::files_below(root.path()).unwrap();
        paths.sort();
        assert_eq!(listing.files.iter().map(|f| PathBuf::from(&f.path)).collect::<Vec<_>>(), paths);
        assert_eq!(listing.bytes, 700 + 12);
        assert!(!listing.is_file && listing.files.iter().all(|f| f.source == root.path().join(&f.path)));
    }

    #[test]
    fn loops_pipes_and_what_is_missing_are_errors_that_name_the_path() {
        let root = tempfile::tempdir().unwrap();
        let error = |path: &Path| Listing::of(path).unwrap_err().to_string();
        assert!(error(&root.path().join("gone")).contains("gone"));
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert!(error(root.path()).contains("leads back"));
        fs::remove_file(root.path().join("again")).unwrap();
        let pipe = root.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(error(root.path()).contains("neither a file nor a folder"));
        assert!(error(&pipe).contains("neither a file nor a folder"));
    }

    #[test]
    fn a_file_must_have_rested_and_the_future_is_not_rest() {
        let second = 1_000_000_000;
        let file = |modified, changed| FileStat {
            path: String::new(),
            source: PathBuf::new(),
            size: 0,
            modified,
            changed,
            inode: 1,
        };
        let moment = 100 * second + 7;
        assert!(file(99 * second + 1, 99 * second + 1).rested(moment));
        assert!(!file(moment - RESTED, 1).rested(moment));
        assert!(!file(1, moment - 1).rested(moment));
        assert!(!file(200 * second, 1).rested(moment) && !file(u64::MAX, 1).rested(moment));
        assert!(!file(1, 99 * second).rested(moment), "times in whole seconds say little");
    }
}
