//! Whether the installed files of an interpreter are what they were: a sum over all of them, so that their order, and the
//! order in which cores get to them, does not matter.

use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

/// What of a folder counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// Every file.
    All,
    /// Code alone: the folder is somebody's project, which has results and environments of its own in it.
    Code,
}

/// The sum of the files of these folders. What cannot be read counts as not there.
pub(super) fn fingerprint(folders: &[(PathBuf, Counts)]) -> String {
    let sums = folders.par_iter().map(|(folder, counts)| below(folder, *counts));
    format!("{:032x}", sums.reduce(|| 0, u128::wrapping_add))
}

fn below(place: &Path, counts: Counts) -> u128 {
    let Ok(entries) = fs::read_dir(place) else {
        // A zip archive may stand where a folder is expected.
        return fs::metadata(place).map_or(0, |metadata| one(place, &metadata));
    };
    let entries: Vec<DirEntry> = entries.flatten().collect();
    entries.par_iter().with_min_len(32).map(|entry| of_entry(entry, counts)).reduce(|| 0, u128::wrapping_add)
}

fn of_entry(entry: &DirEntry, counts: Counts) -> u128 {
    let (name, path) = (entry.file_name(), entry.path());
    let name = name.as_encoded_bytes();
    // Byte code follows its source.
    if name == b"__pycache__" || counts == Counts::Code && (name.starts_with(b".") || name == b"node_modules") {
        return 0;
    }
    let Ok(kind) = entry.file_type() else { return 0 };
    if kind.is_dir() {
        return if counts == Counts::Code && path.join("pyvenv.cfg").exists() { 0 } else { below(&path, counts) };
    }
    let is_code = [&b".py"[..], b".so", b".pyd", b".pth"].iter().any(|ending| name.ends_with(ending));
    if counts == Counts::Code && !is_code {
        return 0;
    }
    // A link counts as itself and as the file that it leads to.
    let own = entry.metadata().map_or(0, |metadata| one(&path, &metadata));
    let led_to = if kind.is_symlink() { fs::metadata(&path).map_or(0, |metadata| one(&path, &metadata)) } else { 0 };
    own.wrapping_add(led_to)
}

fn one(path: &Path, metadata: &Metadata) -> u128 {
    let numbers = [
        metadata.size(),
        metadata.mtime().cast_unsigned(),
        metadata.mtime_nsec().cast_unsigned(),
        metadata.ctime().cast_unsigned(),
        metadata.ctime_nsec().cast_unsigned(),
        metadata.ino(),
    ];
    let mut bytes = Vec::with_capacity(48 + path.as_os_str().len());
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
    let hash = blake3::hash(&bytes);
    hash.as_bytes().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_an_installed_file_shows_and_byte_code_does_not() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let now = |counts| fingerprint(&[(root.path().to_owned(), counts)]);
        write("pkg/__init__.py", "V=1");
        write("pkg/data.json", "1");
        let (all, code) = (now(Counts::All), now(Counts::Code));
        write("pkg/__pycache__/x.pyc", "1");
        assert_eq!((now(Counts::All), now(Counts::Code)), (all.clone(), code.clone()));
        write("pkg/other.json", "2");
        assert!(now(Counts::All) != all && now(Counts::Code) == code, "in a project only code counts");
        write(".venv/lib/x.py", "2");
        assert_eq!(now(Counts::Code), code);
        write("pkg/__init__.py", "V=12");
        assert_ne!(now(Counts::Code), code);
        fs::remove_file(root.path().join("pkg/data.json")).unwrap();
        assert_ne!(now(Counts::All), all);
    }
}
