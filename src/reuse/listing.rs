//! A file or folder as a list of files with their stat, without reading them.
//!
//! The files are in the order of the tree's digest. [`super::walk`] finds them, and the other things that a step can
//! see: empty folders, and the targets of links.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::stat::RESTED_COARSE;
use super::stat::{FileStat, Special, neither};
use super::walk::{FEW, below};
use crate::digest::tree_order;
use crate::fs::at;

/// How old a change must be at the time of a listing for every later change to be visible, in nanoseconds: one tick of
/// the file system's clock.
const STEP: u64 = 10_000_000;

/// A digest over paths, sizes, times and inodes. Equal fingerprints mean that nobody touched the tree.
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
    /// Empty folders and symbolic links, sorted by path. The targets of links are among the files.
    pub specials: Vec<Special>,
    /// The sum of their sizes.
    pub bytes: u64,
    /// Whether the tree is a single file.
    pub is_file: bool,
    /// The folder; empty if every file has a separate path.
    root: PathBuf,
    /// When the listing began, in nanoseconds since 1970.
    pub(super) began: u64,
}

impl Listing {
    /// Lists the file or folder at `root`. Symbolic links are followed.
    ///
    /// # Errors
    /// The first I/O error, with the path in its text; also for a link back to a folder above it, and for anything
    /// that is neither a file nor a folder.
    pub fn of(root: &Path) -> io::Result<Self> {
        let began = now();
        let metadata = fs::metadata(root).map_err(|e| at(root, &e))?;
        if metadata.is_file() {
            let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return Ok(Self::new(vec![FileStat::new(name, Some(root.to_owned()), &metadata)], Vec::new(), true, began));
        }
        if !metadata.is_dir() {
            return Err(neither(root));
        }
        let (files, specials) = below(root)?;
        Ok(Self { root: root.to_owned(), ..Self::new(files, specials, false, began) })
    }

    /// Lists files from any folders, each with its path in the tree and its real path. Links are not recorded,
    /// because such a tree is copied with the targets of links.
    ///
    /// # Errors
    /// The first I/O error, with the path in its text; also for anything that is not a file.
    pub fn of_files(files: Vec<(String, PathBuf)>) -> io::Result<Self> {
        let began = now();
        let stat = |(path, source): (String, PathBuf)| {
            let metadata = fs::metadata(&source).map_err(|e| at(&source, &e))?;
            if !metadata.is_file() {
                return Err(io::Error::other(format!("{}: not a file", source.display())));
            }
            Ok(FileStat::new(path, Some(source), &metadata))
        };
        let files: io::Result<Vec<_>> = if files.len() <= FEW {
            files.into_iter().map(stat).collect()
        } else {
            files.into_par_iter().map(stat).collect()
        };
        Ok(Self::new(files?, Vec::new(), false, began))
    }

    fn new(mut files: Vec<FileStat>, mut specials: Vec<Special>, is_file: bool, began: u64) -> Self {
        specials.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        // The walk returns them in order, except for names that are not Unicode or contain a `\`.
        if !files.is_sorted_by(|a, b| tree_order(&a.path, &b.path).is_le()) {
            files.sort_by(|a, b| tree_order(&a.path, &b.path));
        }
        let bytes = files.iter().map(|file| file.size).sum();
        Self { files, specials, bytes, is_file, root: PathBuf::new(), began }
    }

    /// The listing without what is at other paths.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.files.retain(|file| keep(&file.path));
        self.specials.retain(|special| keep(&special.path));
        self
    }

    /// The first file in which another listing of the same tree differs: changed, new or removed.
    #[must_use]
    pub fn first_difference(&self, now: &Self) -> Option<String> {
        let changed = now.files.iter().find(|file| {
            let old = self.files.iter().find(|old| old.path == file.path);
            old.is_none_or(|old| (old.size, old.modified, old.changed) != (file.size, file.modified, file.changed))
        });
        let removed = || self.files.iter().find(|old| now.files.iter().all(|file| file.path != old.path));
        changed.or_else(removed).map(|file| file.path.clone())
    }

    /// The real path of a file in the listing.
    #[must_use]
    pub fn place<'a>(&self, file: &'a FileStat) -> Cow<'a, Path> {
        file.real_path.as_deref().map_or_else(|| Cow::Owned(self.root.join(&file.path)), Cow::Borrowed)
    }

    /// The digest of the whole listing.
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
        Special::add_all(&self.specials, &mut hasher);
        Fingerprint(hasher.finalize().to_hex().to_string())
    }

    /// How long to wait before listing again, so that every later change is visible. A file that changed in the same
    /// clock tick in which it was listed may change again and keep its stat. `None` if there is no such file.
    #[must_use]
    pub fn unsettled(&self) -> Option<Duration> {
        let wait = |file: &FileStat| {
            let step = if file.has_coarse_times() { RESTED_COARSE } else { STEP };
            let last = file.modified.max(file.changed);
            // A time in the future becomes the present when the file changes.
            (last.saturating_add(step) > self.began && last < self.began.saturating_add(step))
                .then(|| last + step - self.began)
        };
        self.files.iter().filter_map(wait).max().map(Duration::from_nanos)
    }

    /// Whether no file had changed for a while when the listing began. Otherwise a file may change so soon after that
    /// its stat stays the same, and the fingerprint cannot be trusted later.
    #[must_use]
    pub fn rested(&self) -> bool {
        self.files.iter().all(|file| file.rested(self.began))
    }
}

impl Special {
    /// Adds empty folders and links to a hash over the files of a tree. A tree of files alone keeps the hash.
    pub(super) fn add_all(specials: &[Self], hasher: &mut blake3::Hasher) {
        for special in specials {
            // A file has the length of its path here, which is never that large.
            hasher.update(&u64::MAX.to_le_bytes());
            for text in [Some(&special.path), special.target.as_ref()] {
                let length = text.map_or(u64::MAX, |text| text.len() as u64);
                hasher.update(&length.to_le_bytes()).update(text.map_or(&[][..], |text| text.as_bytes()));
            }
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reuse::stat::RESTED;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_tree_is_listed_in_the_order_of_its_digest_whatever_its_shape() {
        let root = tempfile::tempdir().unwrap();
        // More entries than one thread takes, in wide and deep folders, and names that sort around '/'.
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
        let mut paths = crate::fs::walk::files_below(root.path()).unwrap();
        paths.sort();
        assert_eq!(listing.files.iter().map(|f| PathBuf::from(&f.path)).collect::<Vec<_>>(), paths);
        assert_eq!(listing.bytes, 700 + 12);
        assert!(!listing.is_file && listing.files.iter().all(|f| listing.place(f) == root.path().join(&f.path)));
    }

    #[test]
    fn loops_pipes_and_what_is_missing_are_errors_that_name_the_path() {
        let root = tempfile::tempdir().unwrap();
        let error = |path: &Path| Listing::of(path).unwrap_err().to_string();
        assert!(error(&root.path().join("gone")).contains("gone"));
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert!(error(root.path()).contains("points to a folder above"));
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
            real_path: None,
            size: 0,
            modified,
            changed,
            inode: 1,
            execute: 0,
        };
        let moment = 100 * second + 7;
        assert!(file(99 * second + 1, 99 * second + 1).rested(moment));
        assert!(!file(moment - RESTED, 1).rested(moment));
        assert!(!file(1, moment - 1).rested(moment));
        assert!(!file(200 * second, 1).rested(moment) && !file(u64::MAX, 1).rested(moment));
        assert!(!file(1, 99 * second).rested(moment), "times in whole seconds say little");
    }

    #[test]
    fn a_file_that_changes_as_it_is_looked_at_is_looked_at_again() {
        let second = 1_000_000_000;
        let listing = |changed| {
            let file =
                FileStat { path: String::new(), real_path: None, size: 0, modified: 1, changed, inode: 1, execute: 0 };
            Listing::new(vec![file], Vec::new(), true, 100 * second + 7)
        };
        assert_eq!(listing(99 * second + 1).unsettled(), None);
        assert_eq!(listing(100 * second + 2).unsettled(), Some(Duration::from_nanos(STEP - 5)));
        assert_eq!(listing(100 * second + 7 + STEP / 2).unsettled(), Some(Duration::from_nanos(STEP * 3 / 2)));
        assert_eq!(listing(200 * second + 1).unsettled(), None, "a change would move it to the present");
    }

    #[test]
    fn empty_folders_and_links_are_part_of_a_tree() {
        let root = tempfile::tempdir().unwrap();
        let digest = || crate::reuse::digest_of(&Listing::of(root.path()).unwrap()).unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/x"), "1").unwrap();
        let mut seen = vec![digest()];
        let mut changed = |what: &str| {
            let now = digest();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::create_dir_all(root.path().join("b/c")).unwrap();
        changed("an empty folder");
        fs::remove_dir(root.path().join("b/c")).unwrap();
        changed("another empty folder");
        std::os::unix::fs::symlink("x", root.path().join("a/y")).unwrap();
        changed("a link");
        fs::remove_file(root.path().join("a/y")).unwrap();
        std::os::unix::fs::symlink("../a/x", root.path().join("a/y")).unwrap();
        changed("the same link that points elsewhere, to the same bytes");
        fs::remove_file(root.path().join("a/y")).unwrap();
        fs::write(root.path().join("a/y"), "1").unwrap();
        changed("a file where a link was");
        fs::set_permissions(root.path().join("a/y"), fs::Permissions::from_mode(0o755)).unwrap();
        changed("a program");
        fs::rename(root.path().join("a/y"), root.path().join("a\\y")).unwrap();
        changed("a backslash in a name");
    }
}
