//! Seals an output, so that what a successful step wrote cannot be changed by accident.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{StoreError, at};
use crate::fs::walk::{Links, walk};

/// Removes the write permission from the files of an output. Folders stay writable, so that a user can remove
/// `.amlrun` easily. Files that the output links to belong to somebody else and are not changed.
///
/// # Errors
/// When the tree cannot be read or changed; also for anything that is neither a file nor a folder.
pub fn seal(output: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(output).is_ok_and(|m| m.is_file()) {
        return close(output);
    }
    for name in walk(output, Links::Keep, &|_| false).map_err(at("list the output", output))? {
        close(&output.join(name))?;
    }
    Ok(())
}

fn close(path: &Path) -> Result<(), StoreError> {
    let metadata = fs::symlink_metadata(path).map_err(at("read the output", path))?;
    // The target of a link, and a file with several hard links, do not belong to this output alone.
    if metadata.is_file() && metadata.nlink() == 1 && !metadata.permissions().readonly() {
        let mut permissions = metadata.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path, permissions).map_err(at("make read-only", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_output_links_to_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (mine, output) = (root.path().join("mine"), root.path().join("out"));
        fs::create_dir_all(&mine).unwrap();
        fs::create_dir_all(&output).unwrap();
        for name in ["folder", "hard"] {
            fs::write(mine.join(name), "1").unwrap();
        }
        std::os::unix::fs::symlink(&mine, output.join("data")).unwrap();
        fs::hard_link(mine.join("hard"), output.join("one")).unwrap();
        seal(&output).unwrap();
        for name in ["folder", "hard"] {
            assert!(!fs::metadata(mine.join(name)).unwrap().permissions().readonly(), "{name} is the user's");
        }
    }

    #[test]
    fn a_pipe_in_an_output_is_told_and_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(seal(root.path()).unwrap_err().to_string().contains("neither a file nor a folder"));
    }

    #[test]
    fn a_sealed_output_is_read_only() {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("run.step.model");
        fs::create_dir_all(output.join("sub")).unwrap();
        fs::write(output.join("sub/w"), "12345").unwrap();
        seal(&output).unwrap();
        assert!(fs::metadata(output.join("sub/w")).unwrap().permissions().readonly());
    }
}
