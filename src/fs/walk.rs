//! Finds the files of a tree.
//!
//! [`walk`] follows links and asks before it enters a folder. What does not follow links uses the crate `walkdir`, such
//! as [`size_on_disk`]. A few walks stay where they are used: `reuse/walk.rs` and `environment/installed.rs` list
//! folders on all cores, because they decide how fast a run without changes is, `model_file/folder.rs` limits what a
//! hostile folder can cost, and `language/rest/environment.rs` has Azure ML's own order.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::at;

/// Every file below `root`, as a relative path, in no particular order. Symbolic links are followed.
///
/// # Errors
/// The first I/O error, with the path in its text; or an error for an entry that is neither a file nor a folder,
/// because reading a pipe or a device might never end.
pub fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    walk(root, Links::Follow, &|_| false)
}

/// A folder or a symbolic link that a walk is about to enter or follow.
pub struct Found<'a> {
    /// Its path relative to the root of the walk.
    pub relative: &'a Path,
    /// Its full path.
    pub path: &'a Path,
    /// Whether it is a symbolic link.
    pub is_link: bool,
}

/// Decides what a walk skips.
pub type Skip<'a> = dyn Fn(&Found<'_>) -> bool + 'a;

/// What a walk does with symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They are followed.
    Follow,
    /// They are entries of their own, and are not followed.
    Keep,
}

/// The entries below `root` that are not folders, as relative paths. Folders and symbolic links for which `skip`
/// returns true are left out with all their content. It is called before a link is followed.
///
/// # Errors
/// As [`files_below`].
pub fn walk(root: &Path, links: Links, skip: &Skip<'_>) -> io::Result<Vec<PathBuf>> {
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
            if linked && skip(&Found { relative: &relative, path: &path, is_link: true }) {
                continue;
            }
            let metadata = std::fs::metadata(&path).map_err(|e| at(&path, &e))?;
            if metadata.is_file() {
                files.push(relative);
            } else if !metadata.is_dir() {
                let message = format!("{}: neither a file nor a folder", path.display());
                return Err(io::Error::other(message));
            } else if linked || !skip(&Found { relative: &relative, path: &path, is_link: false }) {
                if linked && here.canonicalize()?.starts_with(path.canonicalize()?) {
                    let message = format!("{}: this symbolic link points to a folder above it", path.display());
                    return Err(io::Error::other(message));
                }
                folders.push(relative);
            }
        }
    }
    Ok(files)
}

/// The number of files below a folder, or of the file itself, and their size on disk, including that of the folders.
/// Links are not followed. What cannot be read does not count.
#[must_use]
pub fn size_on_disk(root: &Path) -> (u64, u64) {
    let entries = WalkDir::new(root).follow_root_links(false).into_iter().filter_map(Result::ok);
    let sizes = entries.filter_map(|entry| entry.metadata().ok());
    sizes.fold((0, 0), |(files, bytes), stat| (files + u64::from(!stat.is_dir()), bytes + stat.blocks() * 512))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_back_up_is_an_error_and_not_an_endless_walk() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
        assert!(files_below(root.path()).unwrap_err().to_string().contains("points to a folder above"));
    }

    #[test]
    fn the_size_on_disk_counts_links_as_files_and_does_not_follow_them() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/b"), [1; 10_000]).unwrap();
        let alone = size_on_disk(root.path());
        std::os::unix::fs::symlink("a", root.path().join("link")).unwrap();
        let (files, bytes) = size_on_disk(root.path());
        assert_eq!((alone.0, files), (1, 2));
        assert!(bytes >= alone.1 && bytes < alone.1 + 10_000, "{bytes}, {alone:?}");
        assert_eq!(size_on_disk(&root.path().join("a/b")).0, 1);
        assert_eq!(size_on_disk(&root.path().join("gone")), (0, 0));
    }
}
