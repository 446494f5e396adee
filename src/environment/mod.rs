//! What a step finds on this machine beside its files: the Python behind `python`, its packages, the programs that
//! its command names, and the variables of the shell that it inherits.
//!
//! A result depends on these as it depends on data, so they are part of the cache key. [`Host`] checks them once,
//! before the first step, and says at the end whether they are still the same: results from the time of a change are
//! not kept. [`variables`] is the documented list of variables that steps inherit.
//!
//! This module does not know plans and runs: the engine gives it commands, and gets digests.

mod installed;
pub mod managed;
mod programs;
mod python;
pub mod variables;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::programs::words;

use self::programs::Programs;
use self::python::Interpreter;
use crate::digest::Digest;
use crate::reuse::{Machine, Python, Reuse};

/// The machine's part of a step's inputs, as it was before the run.
pub struct Host {
    /// The part that all steps share; `None` if it cannot be determined.
    base: Option<Machine>,
    interpreters: Vec<Interpreter>,
    near: PathBuf,
    /// The project's folder, if the project is not trusted.
    strange: Option<PathBuf>,
    found: Mutex<Found>,
}

/// The results for the steps so far.
struct Found {
    /// By `PATH`: `None` is the usual one.
    programs: HashMap<Option<String>, Programs>,
    /// By `PATH` and the programs that a step names.
    machines: HashMap<(Option<String>, Vec<usize>), Digest>,
    described: Vec<Machine>,
}

/// Where to look, and for which project.
pub struct Look<'a> {
    /// The folders in which commands are found, in order.
    pub search: &'a [PathBuf],
    /// The folder from which version managers search for a configured version.
    pub near: &'a Path,
    /// The variables that the project passes on in addition to the usual ones.
    pub passed: &'a [String],
    /// Whether the project is not trusted. Then none of its programs is started to query it.
    pub is_strange: bool,
}

impl Host {
    /// Inspects the machine.
    #[must_use]
    pub fn look(look: &Look<'_>) -> Self {
        let strange = look.is_strange.then(|| look.near.canonicalize().unwrap_or_else(|_| look.near.to_owned()));
        let programs = Programs::new(look.search.to_vec(), look.near, strange.as_deref());
        let mut interpreters: Vec<Interpreter> = Vec::new();
        let mut base = Machine { variables: variables::decisive(look.passed), ..Machine::default() };
        let mut is_known = true;
        for name in ["python", "python3"] {
            let Some(program) = programs.search(name) else { continue };
            let Some(interpreter) = Interpreter::look(&program, look.near, &interpreters) else {
                is_known = false;
                continue;
            };
            base.pythons.insert(name.to_owned(), interpreter.python.digest());
            interpreters.push(interpreter);
        }
        let base = is_known.then_some(base);
        let programs = HashMap::from([(None, programs)]);
        let found = Mutex::new(Found { programs, machines: HashMap::new(), described: Vec::new() });
        Self { base, interpreters, near: look.near.to_owned(), strange, found }
    }

    /// The digest of the machine's part for one step: the part that all steps share, and the programs that the step's
    /// texts name. These are words that are files on `PATH`, and paths of programs. `path` is the step's own `PATH`,
    /// if it sets one. `None` if a program cannot be read, or an interpreter's packages cannot be determined.
    #[must_use]
    pub fn machine<'t>(
        &self,
        texts: impl Iterator<Item = &'t str>,
        path: Option<&str>,
        reuse: &Reuse,
    ) -> Option<Digest> {
        let base = self.base.as_ref()?;
        let folders: Vec<PathBuf> = std::env::split_paths(path.unwrap_or_default()).collect();
        // Relative folders would be in the step's code, and an interpreter there may have any packages.
        if path.is_some() && folders.iter().any(|folder| folder.is_relative()) {
            return None;
        }
        let mut found = self.found();
        let Found { programs, machines, described } = &mut *found;
        let path = path.map(str::to_owned);
        let fresh = || Programs::new(folders, &self.near, self.strange.as_deref());
        let programs = programs.entry(path.clone()).or_insert_with(fresh);
        // A step with its own `PATH` may find another Python there.
        let pythons = path.iter().flat_map(|_| ["python", "python3"]);
        let mut named: Vec<usize> = Vec::new();
        for word in std::iter::once("bash").chain(pythons).chain(texts.flat_map(words)) {
            named.extend(programs.find(word, reuse)?);
        }
        named.sort_unstable();
        named.dedup();
        let digest = machines.entry((path, named)).or_insert_with_key(|(_, named)| {
            let machine = Machine { programs: programs.digests(named), ..base.clone() };
            let digest = machine.digest();
            described.push(machine);
            digest
        });
        Some(digest.clone())
    }

    /// The content of the digests that [`Host::machine`] returned, and of the Pythons in them.
    #[must_use]
    pub fn described(&self) -> (Vec<Machine>, Vec<Python>) {
        let pythons = self.interpreters.iter().map(|interpreter| interpreter.python.clone()).collect();
        (self.found().described.clone(), pythons)
    }

    /// Whether everything is unchanged.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.interpreters.iter().all(Interpreter::is_same) && self.found().programs.values().all(Programs::are_same)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
