//! Writes files atomically: under a temporary name in the same folder, synced, then renamed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::model_file::{Error, io_error};

/// Writes `bytes` to `path` and replaces an existing file. A reader sees the old file or the new one, never a part of
/// it.
///
/// # Errors
/// When the file cannot be written. Nothing is left behind then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = temporary_beside(path);
    let written = fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is reported. The temporary file may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(io_error(path))
}

/// Lets `fill` write a new file, and then moves it to `path`. Large files that can be made again are not synced: a
/// killed process leaves nothing under the final name, but a power failure may.
///
/// # Errors
/// The error of `fill`, or when the file cannot be written. Nothing is left behind then.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut fs::File) -> Result<(), Error>) -> Result<(), Error> {
    let temporary = temporary_beside(path);
    let written = fs::File::create(&temporary)
        .map_err(io_error(path))
        .and_then(|mut file| fill(&mut file))
        .and_then(|()| fs::rename(&temporary, path).map_err(io_error(path)));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A hidden name in the same folder that no other process uses.
fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_fails_halfway_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(Error::Archive("no".to_owned()))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no/such/a.bin");
        assert!(write(&path, b"x").unwrap_err().to_string().contains("no/such/a.bin"));
    }
}
