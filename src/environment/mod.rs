//! What a step finds on this machine beside its files: the Python behind `python`, its packages, the programs that its
//! command names, and the variables of the shell that it inherits.
//!
//! A result depends on these as it does on data, so they are part of the key that decides whether an earlier result can
//! be reused. [`Host`] looks at them once, before the first step, and says at the end whether they are still the same:
//! results of a time in which they changed are not kept. [`variables`] is the documented list of what steps inherit.
//!
//! This room refuses to know plans and runs: the engine tells it commands, and gets digests.

mod installed;
mod programs;
mod python;
pub mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::programs::{Programs, SearchPath, words};
use self::python::Watched;
use crate::digest::Digest;
use crate::reuse::{Given, Machine, Reuse};

/// What this machine gives to steps beside their files, as it was when it was looked at.
pub struct Host {
    machine: Machine,
    digest: Digest,
    pythons: Vec<Watched>,
    search: SearchPath,
    programs: Mutex<Programs>,
    /// How long the last full look took, and when it was over.
    last: Mutex<Option<(Duration, Instant)>>,
}

/// Where and for whom is looked.
pub struct Look<'a> {
    /// The folders in which commands are found, in order.
    pub search: &'a [PathBuf],
    /// Where version managers begin to look for a choice of version.
    pub near: &'a Path,
    /// The variables that the project passes on beside the usual ones.
    pub passed: &'a [String],
}

impl Host {
    /// Looks at the machine.
    #[must_use]
    pub fn look(look: &Look<'_>) -> Self {
        let search = SearchPath::new(look.search.to_vec());
        let found = |name: &str| Some((name.to_owned(), search.find(name)?));
        let mut pythons = Vec::new();
        let mut machine = Machine { variables: variables::decisive(look.passed), ..Machine::default() };
        for (name, program) in ["python", "python3"].into_iter().filter_map(found) {
            let same = |watched: &&Watched| watched.is_same_program(&program);
            let watched = match pythons.iter().find(same) {
                Some(known) => Watched::clone(known),
                None => {
                    let watched = python::look(&program, look.near);
                    pythons.push(watched.clone());
                    watched
                }
            };
            machine.pythons.insert(name, watched.python);
        }
        let digest = machine.digest();
        let programs = Mutex::new(Programs::new(look.near));
        Self { machine, digest, pythons, search, programs, last: Mutex::default() }
    }

    /// What was found, for the record.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The digest of [`Host::machine`].
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The programs that texts name, by name: a word that is a file on the search path, or the path of a program. `path`
    /// is a step's own `PATH`, where it sets one. `None` when one of them cannot be read.
    #[must_use]
    pub fn programs<'t>(
        &self,
        texts: impl Iterator<Item = &'t str>,
        path: Option<&str>,
        reuse: &Reuse,
    ) -> Option<BTreeMap<String, Given>> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let own = path.map(|path| SearchPath::new(std::env::split_paths(path).collect()));
        let search = own.as_ref().unwrap_or(&self.search);
        // Whatever Python a step with a PATH of its own may find there is another one.
        let pythons = own.iter().flat_map(|_| ["python", "python3"]);
        let mut found = BTreeMap::new();
        for word in std::iter::once("bash").chain(pythons).chain(texts.flat_map(words)) {
            if found.contains_key(word) {
                continue;
            }
            if let Some(program) = programs.find(word, search, path) {
                found.insert(word.to_owned(), Given::Data(programs.digest(&program, reuse)?));
            }
        }
        Some(found)
    }

    /// Whether what can be seen at a glance is as it was: programs, and the folders in which packages are installed.
    #[must_use]
    pub fn seems_same(&self) -> bool {
        let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        self.pythons.iter().all(Watched::seems_same) && programs.are_same()
    }

    /// Whether all is as it was. Takes as long as looking at every installed file takes.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let began = Instant::now();
        let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let same = self.pythons.iter().all(Watched::is_same) && programs.are_same();
        drop(programs);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((began.elapsed(), Instant::now()));
        same
    }

    /// How long to wait before looking again, so that looking stays a small part of all work.
    #[must_use]
    pub fn rest(&self) -> Duration {
        const SHARE: u32 = 20;
        match *self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((took, at)) => (took * SHARE).saturating_sub(at.elapsed()),
            None => Duration::ZERO,
        }
    }
}
