//! The stat of a file, without reading it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::digest::execute_bits;

/// How long a file must be unchanged for its stat to prove its content, in nanoseconds. The system's clock for files
/// advances in ticks of up to 10 ms, so a file can change twice within one tick.
pub(super) const RESTED: u64 = 50_000_000;

/// The same for file systems with times in whole seconds (FAT: two).
pub(super) const RESTED_COARSE: u64 = 2_000_000_000;

/// The stat of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Its path in the tree, with `/`; for a tree that is a single file, its name.
    pub path: String,
    /// Its real path, if that does not follow from its path in the tree: this would be most of the memory of a large
    /// listing.
    pub(super) real_path: Option<Box<Path>>,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified: u64,
    /// When anything of it last changed. No program can set this back.
    pub changed: u64,
    /// Its inode: another file under the same name has another one.
    pub inode: u64,
    /// Its execute bits. A change of them changes `changed`.
    pub execute: u8,
}

/// An empty folder or a link in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// Its path in the tree.
    pub path: String,
    /// The target of a symbolic link, as written; `None` for an empty folder.
    pub target: Option<String>,
}

impl FileStat {
    pub(super) fn new(path: String, real_path: Option<PathBuf>, metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| {
            u64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(rest)).unwrap_or_default()
        };
        Self {
            path,
            real_path: real_path.map(PathBuf::into_boxed_path),
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            execute: execute_bits(metadata),
        }
    }

    /// Whether the stat of the file is still the same.
    pub(super) fn is_still(&self, metadata: &Metadata) -> bool {
        let now = Self::new(String::new(), None, metadata);
        (self.size, self.modified, self.changed, self.inode) == (now.size, now.modified, now.changed, now.inode)
    }

    /// Whether the file had been unchanged long enough at `moment`, so that every later change is visible in its
    /// stat. If the clock was set back, times are in the future; such a file counts as changed.
    pub(super) fn rested(&self, moment: u64) -> bool {
        let rest = if self.has_coarse_times() { RESTED_COARSE } else { RESTED };
        self.modified.max(self.changed).saturating_add(rest) < moment
    }

    pub(super) fn has_coarse_times(&self) -> bool {
        self.changed.is_multiple_of(1_000_000_000)
    }
}

pub(super) fn neither(path: &Path) -> io::Error {
    io::Error::other(format!("{}: neither a file nor a folder", path.display()))
}
