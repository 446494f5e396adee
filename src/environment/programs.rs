//! The programs that commands name: found on `PATH` as a shell finds them, identified by their content.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::python::Interpreter;
use crate::digest::Digest;
use crate::fs::program::{find, is_program};
use crate::reuse::{Listing, Reuse};
use std::collections::BTreeMap;

/// Programs by name.
pub(super) type Digests = BTreeMap<String, Digest>;

/// After this many words that are not programs, the folders are listed. Most words of a command are not programs, and
/// checking each folder for each word is slow.
const MISSES: usize = 32;

/// A `PATH`, and the programs on it that were looked up.
pub(super) struct Programs {
    folders: Vec<PathBuf>,
    near: PathBuf,
    /// The folder of an untrusted project, of which no program is started.
    strange: Option<PathBuf>,
    misses: usize,
    /// When a program was last added to or removed from each folder.
    stamps: Vec<Option<SystemTime>>,
    /// Every name in the folders, once they were listed.
    names: Option<HashSet<OsString>>,
    /// The index of the program for each word.
    by_word: HashMap<String, Option<usize>>,
    found: Vec<Program>,
}

struct Program {
    word: String,
    file: PathBuf,
    listing: Listing,
    digest: Digest,
    /// The interpreter that it is or that runs it, with its packages.
    python: Option<Interpreter>,
}

impl Programs {
    pub(super) fn new(folders: Vec<PathBuf>, near: &Path, strange: Option<&Path>) -> Self {
        let (by_word, found) = (HashMap::new(), Vec::new());
        let (near, strange) = (near.to_owned(), strange.map(Path::to_owned));
        let stamps = stamps(&folders);
        Self { folders, near, strange, misses: 0, stamps, names: None, by_word, found }
    }

    /// The program that a shell would start for that name.
    pub(super) fn search(&self, name: &str) -> Option<PathBuf> {
        find(name, &self.folders)
    }

    /// The index of the program that a word of a command names, if it names one. `None` if the program cannot be
    /// read.
    pub(super) fn find(&mut self, word: &str, reuse: &Reuse) -> Option<Option<usize>> {
        if let Some(known) = self.by_word.get(word) {
            return Some(*known);
        }
        let number = match self.place(word) {
            Some(file) => Some(self.read(word, file, reuse)?),
            None => None,
        };
        self.by_word.insert(word.to_owned(), number);
        Some(number)
    }

    fn place(&mut self, word: &str) -> Option<PathBuf> {
        if word.contains('/') {
            // Relative paths lead into the step's code, which is part of the cache key anyway.
            let file = Path::new(word);
            return (file.is_absolute() && is_program(file)).then(|| file.to_owned());
        }
        if self.misses >= MISSES {
            let list = || {
                let entries = self.folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
                entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
            };
            if !self.names.get_or_insert_with(list).contains(OsStr::new(word)) {
                return None;
            }
        }
        let file = self.search(word);
        self.misses += usize::from(file.is_none());
        file
    }

    fn read(&mut self, word: &str, file: PathBuf, reuse: &Reuse) -> Option<usize> {
        let listing = Listing::of(&file).ok()?;
        let content = reuse.contents(&format!("program:{}", file.display()), &listing).ok()?.digest;
        let python = match interpreter(&file) {
            Some(interpreter) if self.is_strange(&interpreter) => return None,
            Some(interpreter) => Some(Interpreter::look(&interpreter, &self.near, &[])?),
            None => None,
        };
        let digest = match &python {
            Some(interpreter) => Digest::of(format!("{content} {}", interpreter.python.digest()).as_bytes()),
            None => content,
        };
        self.found.push(Program { word: word.to_owned(), file, listing, digest, python });
        Some(self.found.len() - 1)
    }

    fn is_strange(&self, program: &Path) -> bool {
        let Some(strange) = &self.strange else { return false };
        // A link out of the project leads to a program that is not the project's, but the project may choose its
        // name.
        program.starts_with(strange) || program.canonicalize().is_ok_and(|program| program.starts_with(strange))
    }

    /// The file of a program.
    pub(super) fn file(&self, number: usize) -> &Path {
        &self.found[number].file
    }

    /// The digests of programs by name. For an interpreter, and for a script that one runs, its packages count as
    /// well.
    pub(super) fn digests(&self, numbers: &[usize]) -> Digests {
        numbers.iter().map(|&number| (self.found[number].word.clone(), self.found[number].digest.clone())).collect()
    }

    /// Whether each is unchanged and would still be found.
    pub(super) fn are_same(&self) -> bool {
        stamps(&self.folders) == self.stamps
            && self.found.iter().all(|program| {
                let now = Listing::of(&program.file).map(|now| now.fingerprint());
                now.is_ok_and(|now| now == program.listing.fingerprint())
                    && program.python.as_ref().is_none_or(Interpreter::is_same)
            })
    }
}

fn stamps(folders: &[PathBuf]) -> Vec<Option<SystemTime>> {
    folders.iter().map(|folder| std::fs::metadata(folder).ok()?.modified().ok()).collect()
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

/// The words of a command or a shell script that may name programs.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let between = |c: char| !(c.is_alphanumeric() || "/._-+@".contains(c));
    let words = text.split(between).filter(|word| !word.is_empty());
    words.filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

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
    fn a_program_is_found_as_a_shell_finds_it_however_many_words_are_none() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("first"), root.path().join("second"));
        for folder in [&first, &second] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("tool"), "#!/bin/sh\n").unwrap();
        }
        std::fs::set_permissions(second.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let reuse = Reuse::open(&root.path().join("reuse"), root.path()).unwrap();
        let mut programs = Programs::new(vec![root.path().join("gone"), first, second.clone()], root.path(), None);
        assert_eq!(programs.search("tool"), Some(second.join("tool")), "what cannot be executed is passed over");
        for number in 0..MISSES {
            assert_eq!(programs.find(&format!("word{number}"), &reuse), Some(None));
        }
        assert!(programs.names.is_none());
        assert_eq!(programs.find("another", &reuse), Some(None));
        assert!(programs.names.is_some(), "the folders are listed by now");
        assert_eq!(programs.find("tool", &reuse), Some(Some(0)));
        assert!(programs.are_same());
        std::fs::write(second.join("tool"), "#!/bin/sh\nexit\n").unwrap();
        assert!(!programs.are_same());
        let programs = Programs::new(vec![second.clone()], root.path(), None);
        std::fs::write(second.join("new"), "#!/bin/sh\n").unwrap();
        assert!(!programs.are_same(), "a word that named nothing may name this one");
    }
}
