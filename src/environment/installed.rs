//! Detects whether the packages of an interpreter changed, by a fingerprint over their files. It is a sum, so the
//! order of files and of threads does not matter.
//!
//! Checking every file of a large environment takes longer than reading a pipeline of a thousand steps. Packages of
//! an installer are identified by the installer's own record, which every installation writes anew. Only files
//! without such a record are checked one by one.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

/// A place in which an interpreter looks for modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder for installed packages, with the names that installation records cover.
    Installed(PathBuf, HashSet<OsString>),
    /// A user's project, which may contain results and environments: only code counts.
    Project(PathBuf),
    /// One file.
    File(PathBuf),
}

/// The fingerprint of the files in these places. A file that cannot be read counts as missing.
pub(super) fn fingerprint(places: &[Place]) -> String {
    let sums = places.iter().map(|place| match place {
        Place::Installed(folder, recorded) => installed(folder, recorded),
        Place::Project(folder) => below(folder, true, LINKS),
        Place::File(file) => fs::metadata(file).map_or(0, |metadata| one(file, &metadata)),
    });
    format!("{:032x}", sums.fold(0, u128::wrapping_add))
}

fn installed(folder: &Path, recorded: &HashSet<OsString>) -> u128 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: &DirEntry| {
        let (name, path) = (entry.file_name(), entry.path());
        let bytes = name.as_encoded_bytes();
        if bytes == b"__pycache__" {
            return 0;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder {
            return of_entry(entry, false, LINKS);
        }
        if bytes.ends_with(b".dist-info") || bytes.ends_with(b".egg-info") {
            // The first one that exists: an installation writes all of them anew.
            let record = ["RECORD", "METADATA", "PKG-INFO"].iter().find_map(|file| {
                let file = path.join(file);
                fs::metadata(&file).ok().map(|metadata| one(&file, &metadata))
            });
            return named(&path).wrapping_add(record.unwrap_or(0));
        }
        if recorded.contains(&name) { named(&path) } else { below(&path, false, LINKS) }
    };
    entries.flatten().map(|entry| of(&entry)).fold(0, u128::wrapping_add)
}

/// How many links to folders are followed in a row: they may lead in a circle.
const LINKS: u8 = 3;

fn below(folder: &Path, only_code: bool, links: u8) -> u128 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let entries: Vec<DirEntry> = entries.flatten().collect();
    entries.par_iter().with_min_len(32).map(|entry| of_entry(entry, only_code, links)).reduce(|| 0, u128::wrapping_add)
}

fn of_entry(entry: &DirEntry, only_code: bool, links: u8) -> u128 {
    let (name, path) = (entry.file_name(), entry.path());
    let name = name.as_encoded_bytes();
    // Byte code depends on its source.
    if name == b"__pycache__" || only_code && (name.starts_with(b".") || name == b"node_modules") {
        return 0;
    }
    let Ok(kind) = entry.file_type() else { return 0 };
    if kind.is_dir() {
        return if only_code && path.join("pyvenv.cfg").exists() { 0 } else { below(&path, only_code, links) };
    }
    // A link counts as itself and as its target.
    let led_to = if kind.is_symlink() { fs::metadata(&path).ok() } else { None };
    if led_to.as_ref().is_some_and(Metadata::is_dir) {
        let inside = if links > 0 { below(&path, only_code, links - 1) } else { 0 };
        return entry.metadata().map_or(0, |metadata| one(&path, &metadata)).wrapping_add(inside);
    }
    let is_code = [&b".py"[..], b".so", b".pyd", b".pth"].iter().any(|ending| name.ends_with(ending));
    if only_code && !is_code {
        return 0;
    }
    let own = entry.metadata().map_or(0, |metadata| one(&path, &metadata));
    own.wrapping_add(led_to.map_or(0, |metadata| one(&path, &metadata)))
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
    sum(path, &numbers)
}

fn named(path: &Path) -> u128 {
    sum(path, &[])
}

fn sum(path: &Path, numbers: &[u64]) -> u128 {
    let mut bytes = Vec::with_capacity(48 + path.as_os_str().len());
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
    let hash = blake3::hash(&bytes);
    hash.as_bytes().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_new_installation_and_every_file_without_a_record_show_and_byte_code_does_not() {
        let root = tempfile::tempdir().unwrap();
        let recorded = HashSet::from(["known".into()]);
        let place = [Place::Installed(root.path().to_owned(), recorded)];
        let mut seen = vec![fingerprint(&place)];
        let mut shows = |what: &str, yes: bool| {
            let now = fingerprint(&place);
            assert_eq!(!seen.contains(&now), yes, "{what}");
            seen.push(now);
        };
        for (name, text) in [("known/__init__.py", "1"), ("known-1.dist-info/RECORD", "a"), ("own/deep/x.py", "1")] {
            write(root.path(), name, text);
            shows(name, true);
        }
        write(root.path(), "own/__pycache__/x.pyc", "1");
        write(root.path(), "known/__pycache__/x.pyc", "1");
        write(root.path(), "__pycache__/x.pyc", "1");
        shows("byte code", false);
        write(root.path(), "own/deep/x.py", "12");
        shows("a file without a record", true);
        write(root.path(), "known-1.dist-info/RECORD", "ab");
        shows("the record of an installation", true);
        fs::rename(root.path().join("known-1.dist-info"), root.path().join("known-2.dist-info")).unwrap();
        shows("another version", true);
        write(root.path(), "single.py", "1");
        shows("a module of one file", true);
        write(root.path(), "more.pth", "/x");
        shows("a path file", true);
    }

    #[test]
    fn of_a_project_only_code_counts() {
        let root = tempfile::tempdir().unwrap();
        let now = || fingerprint(&[Place::Project(root.path().to_owned())]);
        write(root.path(), "pkg/__init__.py", "1");
        let before = now();
        for name in ["data.csv", ".amlrun/x.py", ".venv/y.py", "pkg/__pycache__/z.pyc"] {
            write(root.path(), name, "1");
        }
        write(root.path(), "env/pyvenv.cfg", "");
        write(root.path(), "env/lib/x.py", "");
        assert_eq!(now(), before);
        write(root.path(), "pkg/__init__.py", "12");
        assert_ne!(now(), before);
    }
}
