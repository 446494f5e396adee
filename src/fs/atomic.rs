//! Writes files and folders atomically: under a temporary name in the same folder, which is then renamed. A reader
//! sees what was there before or all of what is new, never a part of it.
//!
//! [`write()`] is for bytes, and [`Temporary`] for everything else: long files, folders, links. Downloads that continue
//! where an earlier one ended do not use this module, because their unfinished files must stay.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The prefix of temporary names, so that listings can leave them out.
pub const PARTIAL: &str = ".amlrun-part-";

/// Whether a file must survive a power failure. Killing the process is never a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The content reaches the disk before the file gets its name, and then the name does. This is slow.
    Synced,
    /// The system decides when the content reaches the disk: for files that can be made again.
    Unsynced,
}

/// Writes `bytes` to `path`, and replaces an existing file.
///
/// # Errors
/// When the file cannot be written. An existing file is unchanged then.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>, durability: Durability) -> io::Result<()> {
    write_as(path, bytes.as_ref(), 0o666, durability)
}

/// Like [`write()`], but only the owner can read the file, from the moment when it exists.
///
/// # Errors
/// As for [`write()`].
pub fn write_private(path: &Path, bytes: impl AsRef<[u8]>, durability: Durability) -> io::Result<()> {
    write_as(path, bytes.as_ref(), 0o600, durability)
}

fn write_as(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let new = Temporary::beside(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new.path)?;
    file.write_all(bytes)?;
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    new.place()?;
    if durability == Durability::Synced {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Some file systems cannot do this with folders. After a power failure the old file may then be there.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

/// A temporary name beside the final path of a file or folder. What has this name is removed when the value is dropped,
/// unless it got its final name with [`place`](Self::place).
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    target: PathBuf,
}

impl Temporary {
    /// A new name in the folder of `target`. Nothing is made yet. The name is short, so that it works for every target
    /// that a file system allows.
    #[must_use]
    pub fn beside(target: &Path) -> Self {
        // Not counted by process: another process may have had the same id, and left its file when it was killed.
        let path = target.with_file_name(format!("{PARTIAL}{:016x}", fastrand::u64(..)));
        Self { path, target: target.to_owned() }
    }

    /// The temporary path, for making a file or folder there.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> io::Result<File> {
        File::create_new(&self.path)
    }

    /// Leaves what was made under its temporary name.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Gives the file or folder its final name. A file there is replaced.
    ///
    /// # Errors
    /// When it cannot be renamed, such as onto a folder that is not empty.
    pub fn place(self) -> io::Result<()> {
        self.place_at(&self.target)
    }

    /// The same with another final path in the same folder or file system. Can be called again if it fails.
    ///
    /// # Errors
    /// As for [`place`](Self::place).
    pub fn place_at(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Best effort: an error before this one is reported. After the rename there is usually nothing; but if the
        // target is a hard link to the same file, the rename did nothing and left both names.
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_a_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (text, durability) in [("one", Durability::Unsynced), ("two", Durability::Synced)] {
            write(&path, text, durability).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn an_error_halfway_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, "old", Durability::Unsynced).unwrap();
        let halfway = || -> io::Result<()> {
            let new = Temporary::beside(&path);
            new.create()?.write_all(b"half")?;
            Err(io::Error::other("no"))
        };
        halfway().unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn others_cannot_read_a_private_file_even_where_they_could_read_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "open").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, "secret", Durability::Unsynced).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn every_name_that_fits_a_file_system_works() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(255));
        write(&path, "1", Durability::Unsynced).unwrap();
        assert!(path.is_file());
    }

    #[test]
    fn a_folder_gets_its_name_or_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("tree");
        let build = || {
            let temporary = Temporary::beside(&target);
            fs::create_dir(temporary.path()).unwrap();
            fs::write(temporary.path().join("x"), "1").unwrap();
            temporary
        };
        drop(build());
        assert!(names(folder.path()).is_empty());
        build().place().unwrap();
        build().place().unwrap_err();
        assert_eq!(names(folder.path()), ["tree"]);
    }

    #[test]
    fn a_second_name_of_the_same_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        fs::write(&target, "1").unwrap();
        let temporary = Temporary::beside(&target);
        fs::hard_link(&target, temporary.path()).unwrap();
        temporary.place().unwrap();
        assert_eq!(names(folder.path()), ["a"]);
    }
}
