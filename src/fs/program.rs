//! Finds programs as a shell does: the first file with an execute bit in the folders of `PATH`.
//!
//! The crate `which` does more, such as expanding `~` in `PATH`, and takes `PATH` as one text. Callers here often have
//! the list of its folders, and look up every word of a command.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Whether a shell could start the file.
#[must_use]
pub fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The program with that name in the first folder that has one.
#[must_use]
pub fn find(name: &str, folders: impl IntoIterator<Item = impl AsRef<Path>>) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.as_ref().join(name)).find(|file| is_program(file))
}

/// The program with that name on a `PATH`; on that of this process if none is given.
#[must_use]
pub fn on_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let own = if path.is_none() { std::env::var_os("PATH") } else { None };
    find(name, std::env::split_paths(path.or(own.as_deref())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn the_first_file_that_can_be_started_is_found() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["a", "b", "c", "d"].map(|name| root.path().join(name));
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        fs::create_dir(folders[0].join("tool")).unwrap();
        for (folder, mode) in [(&folders[1], 0o644), (&folders[2], 0o755), (&folders[3], 0o755)] {
            fs::write(folder.join("tool"), "").unwrap();
            fs::set_permissions(folder.join("tool"), Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(find("tool", &folders), Some(folders[2].join("tool")));
        assert_eq!(find("other", &folders), None);
        let path = std::env::join_paths(&folders).unwrap();
        assert_eq!(on_path("tool", Some(&path)), Some(folders[2].join("tool")));
        assert!(on_path("sh", None).is_some());
    }
}
