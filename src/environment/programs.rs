//! The programs that commands name: found on a search path as a shell finds them, known by their content.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::python::{self, Watched};
use crate::digest::Digest;
use crate::reuse::{Listing, Reuse};

/// The folders in which a shell looks for programs.
pub(super) struct SearchPath {
    folders: Vec<PathBuf>,
    /// Every name in them: most words of a command are no programs, and asking each folder for each word is slow.
    names: OnceLock<HashSet<OsString>>,
}

impl SearchPath {
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, names: OnceLock::new() }
    }

    /// The program of that name that a shell would start.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.folders.iter().map(|folder| folder.join(name)).find(|file| is_program(file))
    }

    fn may_have(&self, name: &str) -> bool {
        let list = || {
            let entries = self.folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
            entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
        };
        self.names.get_or_init(list).contains(std::ffi::OsStr::new(name))
    }
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// What was found so far, and what it held.
pub(super) struct Programs {
    near: PathBuf,
    found: HashMap<(Option<String>, String), Option<PathBuf>>,
    known: HashMap<PathBuf, Program>,
}

struct Program {
    listing: Listing,
    digest: Digest,
    /// The interpreter that it is or that runs it, with its packages.
    python: Option<Watched>,
}

impl Programs {
    pub fn new(near: &Path) -> Self {
        Self { near: near.to_owned(), found: HashMap::new(), known: HashMap::new() }
    }

    /// The program that a word of a command names.
    pub fn find(&mut self, word: &str, search: &SearchPath, path: Option<&str>) -> Option<PathBuf> {
        if word.contains('/') {
            // Relative paths lead into the step's code, which is known.
            let file = Path::new(word);
            return (file.is_absolute() && is_program(file)).then(|| file.to_owned());
        }
        if !search.may_have(word) {
            return None;
        }
        let key = (path.map(str::to_owned), word.to_owned());
        self.found.entry(key).or_insert_with(|| search.find(word)).clone()
    }

    /// The digest of a program; of an interpreter, and of a script that one runs, its packages count as well.
    pub fn digest(&mut self, file: &Path, reuse: &Reuse) -> Option<Digest> {
        if let Some(known) = self.known.get(file) {
            return Some(known.digest.clone());
        }
        let listing = Listing::of(file).ok()?;
        let content = reuse.contents(&format!("program:{}", file.display()), &listing).ok()?.digest;
        let python = interpreter(file).map(|interpreter| python::look(&interpreter, &self.near));
        let digest = match &python {
            Some(watched) => Digest::of(format!("{content} {}", watched.python.digest()).as_bytes()),
            None => content,
        };
        self.known.insert(file.to_owned(), Program { listing, digest: digest.clone(), python });
        Some(digest)
    }

    /// Whether each is still what it was.
    pub fn are_same(&self) -> bool {
        self.known.iter().all(|(file, program)| {
            let now = Listing::of(file).map(|now| now.fingerprint());
            now.is_ok_and(|now| now == program.listing.fingerprint())
                && program.python.as_ref().is_none_or(Watched::seems_same)
        })
    }
}

/// The Python that a program is, or that its first line names.
fn interpreter(file: &Path) -> Option<PathBuf> {
    let is_python = |file: &Path| {
        let name = file.file_name()?.to_str()?.strip_prefix("python")?;
        name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then_some(())
    };
    if is_python(file).is_some() {
        return Some(file.to_owned());
    }
    let mut start = [0; 256];
    let length = std::fs::File::open(file).and_then(|mut file| file.read(&mut start)).ok()?;
    let line = std::str::from_utf8(start[..length].split(|byte| *byte == b'\n').next()?).ok()?;
    let program = Path::new(line.strip_prefix("#!")?.split_whitespace().next()?);
    (is_python(program).is_some() && is_program(program)).then(|| program.to_owned())
}

/// The words of a command that may name programs.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let between = |c: char| !(c.is_alphanumeric() || "/._-+@".contains(c));
    let words = text.split(between).filter(|word| !word.is_empty());
    words.filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_a_shell_may_start() {
        let text =
            "set -e; A=1 amlrun-stage train --lr 0.1 | tee x.log && $(nproc) \"/usr/bin/env\" 17 >o${{outputs.o}}";
        let found: Vec<&str> = words(text).collect();
        for word in ["set", "amlrun-stage", "tee", "nproc", "/usr/bin/env"] {
            assert!(found.contains(&word), "{word} of {found:?}");
        }
        assert!(!found.contains(&"17") && !found.contains(&"--lr"));
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("first"), root.path().join("second"));
        for folder in [&first, &second] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("tool"), "#!/bin/sh\n").unwrap();
        }
        std::fs::set_permissions(second.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let search = SearchPath::new(vec![root.path().join("gone"), first, second.clone()]);
        assert_eq!(search.find("tool"), Some(second.join("tool")), "what cannot be executed is passed over");
        assert!(search.may_have("tool") && !search.may_have("other"));
    }
}
