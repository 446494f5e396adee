//! A file as the system describes it, without reading it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::digest::execute_bits;

/// How long after its last change a file must have rested for its stat to vouch for its content. The system's clock
/// for files advances in steps of up to 10 ms, so a file can change twice within one.
pub(super) const RESTED: u64 = 50_000_000;

/// The same where times are kept in whole seconds (FAT: two).
pub(super) const RESTED_COARSE: u64 = 2_000_000_000;

/// One file, as the system describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Its path in the tree, with `/`; for a tree that is one file its name.
    pub path: String,
    /// Where it lies, when that does not follow from its path: most of the memory of a large listing would be this.
    pub(super) real_path: Option<Box<Path>>,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified: u64,
    /// When anything of it last changed: no program can set this one back.
    pub changed: u64,
    /// Its number in the file system: another file under the same name has another one.
    pub inode: u64,
    /// Who may execute it. Whatever changes that, changes `changed`.
    pub execute: u8,
}

/// What a tree has beside files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// Its path in the tree.
    pub path: String,
    /// Where a symbolic link points, as it says; `None` for an empty folder.
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

    /// Whether the system still says the same of the file.
    pub(super) fn is_still(&self, metadata: &Metadata) -> bool {
        let now = Self::new(String::new(), None, metadata);
        (self.size, self.modified, self.changed, self.inode) == (now.size, now.modified, now.changed, now.inode)
    }

    /// Whether the file had rested at `moment`: whatever changes it from then on shows in its stat. A clock that was
    /// set back makes times lie in the future, which count as not rested.
    pub(super) fn rested(&self, moment: u64) -> bool {
        let rest = if self.has_coarse_times() { RESTED_COARSE } else { RESTED };
        self.modified.max(self.changed).saturating_add(rest) < moment
    }

    pub(super) fn has_coarse_times(&self) -> bool {
        self.changed.is_multiple_of(1_000_000_000)
    }
}

pub(super) fn neither(path: &Path) -> io::Error {
    io::Error::other(format!("{}: this is neither a file nor a folder", path.display()))
}
