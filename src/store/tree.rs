//! Copies, links, measures and protects whole trees of files.
//!
//! A copy appears at its destination in one rename or not at all. Symbolic links are followed and replaced by their
//! targets. A link that leads out of the tree is refused, so a copy never contains a file from outside. This module
//! does not know what a tree means. It makes the registry's sealed models and the store's outputs.

use std::io;
use std::path::{Path, PathBuf};

use crate::fs::atomic::Temporary;
use crate::fs::walk::files_below;

/// Why a tree could not be copied, measured or sealed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The system refused access to a file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Walking the tree failed; the message names the path.
    #[error("{0}")]
    Walk(io::Error),
    /// A symbolic link leads out of the tree.
    #[error("{}: this symbolic link points outside {}: replace it with the file", link.display(), root.display())]
    Leaves {
        /// The link.
        link: PathBuf,
        /// The tree that it leaves.
        root: PathBuf,
    },
    /// Neither a file nor a folder, e.g. a socket.
    #[error("{}: not a regular file", path.display())]
    NotAFile {
        /// What was found.
        path: PathBuf,
    },
}

/// The number of files in a tree, and their total size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeSize {
    /// Regular files, after following links.
    pub files: u64,
    /// The sum of their sizes in bytes.
    pub bytes: u64,
}

/// Copies the file or folder `from` to `to`, which must not exist yet (its parent is made). Empty folders are not
/// copied, as on Azure ML. The copy is made beside `to` and renamed, so `to` is never incomplete.
///
/// # Errors
/// See [`TreeError`]; `to` does not exist then.
pub fn copy_tree(from: &Path, to: &Path) -> Result<(), TreeError> {
    build(from, to, &|from, to| std::fs::copy(from, to).map(drop))
}

/// Like [`copy_tree`], but each file becomes a hard link where the file system supports that. Use it only for trees
/// whose files are replaced and never written in place: a write would be visible under both names.
///
/// # Errors
/// See [`TreeError`]; `to` does not exist then.
pub fn link_or_copy_tree(from: &Path, to: &Path) -> Result<(), TreeError> {
    build(from, to, &|from, to| {
        // Resolved first: a hard link to a symbolic link would be a symbolic link again.
        std::fs::hard_link(from.canonicalize()?, to).or_else(|_| std::fs::copy(from, to).map(drop))
    })
}

/// Adds the files of the folder `from` to the folder `to`, which may contain others. A file of the same name is
/// replaced. Each file becomes a hard link where the file system supports that.
///
/// # Errors
/// See [`TreeError`]; some files may exist then, each of them complete.
pub fn merge_tree(from: &Path, to: &Path) -> Result<(), TreeError> {
    for file in files_below(from).map_err(TreeError::Walk)? {
        replace_file(&from.join(&file), &to.join(&file))?;
    }
    Ok(())
}

/// Makes `to` a hard link to the file `from`, or a copy of it, and replaces an existing file.
///
/// # Errors
/// See [`TreeError`]; `to` is not changed then.
pub fn replace_file(from: &Path, to: &Path) -> Result<(), TreeError> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let source = from.canonicalize().map_err(at(from))?;
    let new = Temporary::beside(to);
    let made = std::fs::hard_link(&source, new.path()).or_else(|_| std::fs::copy(&source, new.path()).map(drop));
    made.and_then(|()| new.place()).map_err(at(to))
}

/// Removes the write permission from every file of the tree. Folders stay writable, so that `rm -rf` works.
///
/// # Errors
/// The first file that the system refused.
pub fn make_read_only(root: &Path) -> Result<(), TreeError> {
    for path in files_of(root)? {
        let mut permissions = path.metadata().map_err(at(&path))?.permissions();
        if !permissions.readonly() {
            permissions.set_readonly(true);
            std::fs::set_permissions(&path, permissions).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// The number of files in a file or folder, and their total size.
///
/// # Errors
/// The first file or folder that could not be read.
pub fn size_of(root: &Path) -> Result<TreeSize, TreeError> {
    let mut size = TreeSize::default();
    for path in files_of(root)? {
        size.files += 1;
        size.bytes += path.metadata().map_err(at(&path))?.len();
    }
    Ok(size)
}

type Put = dyn Fn(&Path, &Path) -> io::Result<()>;

fn build(from: &Path, to: &Path, put: &Put) -> Result<(), TreeError> {
    let root = from.canonicalize().map_err(at(from))?;
    if to.symlink_metadata().is_ok() {
        return Err(at(to)(io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let new = Temporary::beside(to);
    fill(&root, new.path(), put)?;
    new.place().map_err(at(to))
}

fn fill(root: &Path, to: &Path, put: &Put) -> Result<(), TreeError> {
    if root.is_file() {
        return put(root, to).map_err(at(root));
    }
    std::fs::create_dir(to).map_err(at(to))?;
    for file in files_below(root).map_err(TreeError::Walk)? {
        let source = root.join(&file);
        let resolved = source.canonicalize().map_err(at(&source))?;
        if !resolved.starts_with(root) {
            return Err(TreeError::Leaves { link: source, root: root.to_owned() });
        }
        if !resolved.is_file() {
            return Err(TreeError::NotAFile { path: source });
        }
        let target = to.join(&file);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
        }
        put(&source, &target).map_err(at(&source))?;
    }
    Ok(())
}

/// The paths of the files in a tree; a single file is a tree of one file.
fn files_of(root: &Path) -> Result<Vec<PathBuf>, TreeError> {
    if root.metadata().map_err(at(root))?.is_file() {
        return Ok(vec![root.to_owned()]);
    }
    Ok(files_below(root).map_err(TreeError::Walk)?.into_iter().map(|file| root.join(file)).collect())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TreeError {
    let path = path.to_owned();
    move |source| TreeError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("model/data")).unwrap();
        std::fs::write(root.path().join("model/MLmodel"), "flavors: {}").unwrap();
        std::fs::write(root.path().join("model/data/weights"), [7; 1000]).unwrap();
        root
    }

    #[test]
    fn a_copy_has_the_same_digest_and_size() {
        let root = tree();
        let (from, to) = (root.path().join("model"), root.path().join("new/copy"));
        for make in [copy_tree, link_or_copy_tree] {
            make(&from, &to).unwrap();
            assert_eq!(Digest::of_tree(&from).unwrap(), Digest::of_tree(&to).unwrap());
            assert_eq!(size_of(&to).unwrap(), TreeSize { files: 2, bytes: 1011 });
            assert_eq!(std::fs::read_dir(root.path().join("new")).unwrap().count(), 1, "no temporary folder stays");
            std::fs::remove_dir_all(&to).unwrap();
        }
    }

    #[test]
    fn a_single_file_is_a_tree_too() {
        let root = tree();
        let to = root.path().join("weights");
        copy_tree(&root.path().join("model/data/weights"), &to).unwrap();
        make_read_only(&to).unwrap();
        assert!(to.metadata().unwrap().permissions().readonly());
        assert_eq!(size_of(&to).unwrap(), TreeSize { files: 1, bytes: 1000 });
    }

    #[test]
    fn an_existing_target_is_never_overwritten() {
        let root = tree();
        let to = root.path().join("there");
        std::fs::write(&to, "mine").unwrap();
        let error = copy_tree(&root.path().join("model"), &to).unwrap_err().to_string();
        assert!(error.contains("there"), "{error}");
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "mine");
    }

    #[cfg(unix)]
    #[test]
    fn links_inside_become_files_and_links_outside_are_refused() {
        use std::os::unix::fs::symlink;
        let root = tree();
        let (from, to) = (root.path().join("model"), root.path().join("copy"));
        symlink("data/weights", from.join("latest")).unwrap();
        link_or_copy_tree(&from, &to).unwrap();
        assert!(to.join("latest").symlink_metadata().unwrap().is_file());

        std::fs::write(root.path().join("secret"), "s").unwrap();
        symlink("../secret", from.join("leak")).unwrap();
        let error = copy_tree(&from, &root.path().join("second")).unwrap_err();
        assert!(matches!(&error, TreeError::Leaves { link, .. } if link.ends_with("leak")), "{error}");
        assert!(!root.path().join("second").exists());
        assert!(
            !std::fs::read_dir(root.path())
                .unwrap()
                .any(|e| { e.unwrap().file_name().to_string_lossy().starts_with(crate::fs::atomic::PARTIAL) })
        );
    }

    #[test]
    fn read_only_files_in_writable_folders_can_be_removed() {
        let root = tree();
        let model = root.path().join("model");
        make_read_only(&model).unwrap();
        assert!(model.join("data/weights").metadata().unwrap().permissions().readonly());
        assert!(!model.join("data").metadata().unwrap().permissions().readonly());
        std::fs::remove_dir_all(&model).unwrap();
    }
}
