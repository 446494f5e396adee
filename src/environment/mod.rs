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

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::programs::{is_program, words};

use self::programs::Programs;
use self::python::Interpreter;
use crate::digest::Digest;
use crate::reuse::{Machine, Python, Reuse};

/// What this machine gives to steps beside their files, as it was when it was looked at.
pub struct Host {
    /// What all steps have alike; `None` when it cannot be known.
    base: Option<Machine>,
    interpreters: Vec<Interpreter>,
    near: PathBuf,
    /// The project, when it may be a stranger's.
    strange: Option<PathBuf>,
    found: Mutex<Found>,
}

/// What was looked up for the steps so far.
struct Found {
    /// By search path: `None` is the usual one.
    programs: HashMap<Option<String>, Programs>,
    /// By search path and the programs that a step names.
    machines: HashMap<(Option<String>, Vec<usize>), Digest>,
    described: Vec<Machine>,
}

/// Where and for whom is looked.
pub struct Look<'a> {
    /// The folders in which commands are found, in order.
    pub search: &'a [PathBuf],
    /// Where version managers begin to look for a choice of version.
    pub near: &'a Path,
    /// The variables that the project passes on beside the usual ones.
    pub passed: &'a [String],
    /// Whether the project may be a stranger's, of whose programs none is started for a look.
    pub is_strange: bool,
}

impl Host {
    /// Looks at the machine.
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

    /// The digest of what a step has: what all have, and the programs that its texts name, which are words that are files
    /// on the search path and the paths of programs. `path` is the step's own `PATH`, where it sets one. `None` when a
    /// program cannot be read, or what an interpreter has cannot be known.
    #[must_use]
    pub fn machine<'t>(
        &self,
        texts: impl Iterator<Item = &'t str>,
        path: Option<&str>,
        reuse: &Reuse,
    ) -> Option<Digest> {
        let base = self.base.as_ref()?;
        let folders: Vec<PathBuf> = std::env::split_paths(path.unwrap_or_default()).collect();
        // They would lead into the step's code, where nobody knows which packages an interpreter has.
        if path.is_some() && folders.iter().any(|folder| folder.is_relative()) {
            return None;
        }
        let mut found = self.found();
        let Found { programs, machines, described } = &mut *found;
        let path = path.map(str::to_owned);
        let fresh = || Programs::new(folders, &self.near, self.strange.as_deref());
        let programs = programs.entry(path.clone()).or_insert_with(fresh);
        // Whatever Python a step with a PATH of its own may find there is another one.
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

    /// What is behind the digests that [`Host::machine`] gave, and behind those of its Pythons.
    #[must_use]
    pub fn described(&self) -> (Vec<Machine>, Vec<Python>) {
        let pythons = self.interpreters.iter().map(|interpreter| interpreter.python.clone()).collect();
        (self.found().described.clone(), pythons)
    }

    /// Whether all of it is still as it was.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.interpreters.iter().all(Interpreter::is_same) && self.found().programs.values().all(Programs::are_same)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
