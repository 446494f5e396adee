//! What a step finds on this machine beside its files: the Python behind `python`, its packages, the programs that
//! its command names, and the variables of the shell that it inherits.
//!
//! A result depends on these as it depends on data, so they are part of the cache key. [`Host`] checks them once,
//! before the first step, and says at the end whether they are still the same: results from the time of a change are
//! not kept. [`variables`] is the documented list of variables that steps inherit.
//!
//! [`resolve`](mod@resolve) decides what the environment of a file becomes here: this machine, or an environment that
//! [`managed`] builds from a conda file or a curated name, or a [`container`]. A built environment replaces the Pythons in
//! the cache key, and the image of a container replaces all that this machine has. A step that installs packages gets an
//! [`overlay`].
//!
//! This module does not know plans and runs: the engine gives it commands, and gets digests.

pub mod container;
mod installed;
pub mod managed;
pub mod overlay;
mod programs;
pub mod provided;
mod python;
pub mod resolve;
pub mod variables;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::programs::words;

use self::container::Container;
use self::programs::Programs;
pub use self::provided::Environments;
use self::python::Interpreter;
use self::resolve::Resolution;
use crate::digest::Digest;
use crate::reuse::{Given, Machine, Python, Reuse};
use crate::spec::environment::Environment;

/// The machine's part of a step's inputs, as it was before the run.
pub struct Host {
    /// The part that all steps share; `None` if it cannot be determined.
    base: Option<Machine>,
    interpreters: Vec<Interpreter>,
    /// The variables that containers inherit. Only digests: they may be secret.
    passed: BTreeMap<String, Given>,
    environments: Arc<Environments>,
    near: PathBuf,
    /// The project's folder, if the project is not trusted.
    strange: Option<PathBuf>,
    found: Mutex<Found>,
}

/// `PATH`, the programs that a step names, and the Python of its environment if that was built.
type MachineKey = (Option<String>, Vec<usize>, Option<Digest>);

/// The results for the steps so far.
struct Found {
    /// By `PATH`: `None` is the usual one.
    programs: HashMap<Option<String>, Programs>,
    machines: HashMap<MachineKey, Digest>,
    described: Vec<Machine>,
    /// The Pythons of the environments that were built.
    built: HashMap<Digest, Python>,
    /// Whether a step uses this machine's interpreters. Steps in containers do not.
    is_used: bool,
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
    /// The environments of steps.
    pub environments: Arc<Environments>,
}

/// What decides a step's result beside its files.
pub struct StepTexts<'t, T> {
    /// The environment that it names.
    pub environment: Option<&'t Environment>,
    /// The texts that may name programs.
    pub texts: T,
    /// Its own `PATH`, if it sets one.
    pub path: Option<&'t str>,
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
        let found = Mutex::new(Found {
            programs,
            machines: HashMap::new(),
            described: Vec::new(),
            built: HashMap::new(),
            is_used: false,
        });
        let environments = look.environments.clone();
        let digest = |(name, value): (String, String)| (name, Given::Secret(Digest::of(value.as_bytes())));
        let passed = variables::passed_on(look.passed).into_iter().map(digest).collect();
        Self { base, interpreters, passed, environments, near: look.near.to_owned(), strange, found }
    }

    /// The digest of the machine's part for one step: the part that all steps share, and the programs that the step's
    /// texts name. These are words that are files on `PATH`, and paths of programs. An environment that was built
    /// replaces the Pythons of the machine. `None` if a program cannot be read, an interpreter's packages cannot be
    /// determined, or the environment is not built yet.
    #[must_use]
    pub fn machine<'t>(&self, step: StepTexts<'t, impl Iterator<Item = &'t str>>, reuse: &Reuse) -> Option<Digest> {
        let StepTexts { environment, texts, path } = step;
        let resolution = self.environments.resolve(environment).ok()?;
        if let Resolution::Container(container) = &*resolution {
            return self.image(container);
        }
        let base = self.base.as_ref()?;
        let built = match &*resolution {
            Resolution::Host(_) => None,
            Resolution::Managed(managed) => Some(self.environments.ready(managed)?),
            Resolution::Container(_) => None,
        };
        // Relative folders would be in the step's code, and an interpreter there may have any packages.
        let own: Vec<PathBuf> = std::env::split_paths(path.unwrap_or_default()).collect();
        if path.is_some() && own.iter().any(|folder| folder.is_relative()) {
            return None;
        }
        let path = match (path, &built) {
            (Some(path), _) => Some(path.to_owned()),
            (None, Some(built)) => Some(built.search_path.clone()),
            (None, None) => None,
        };
        let mut found = self.found();
        found.is_used = true;
        let Found { programs, machines, described, built: pythons_of_environments, .. } = &mut *found;
        let programs = programs.entry(path.clone()).or_insert_with_key(|path| {
            let folders = std::env::split_paths(path.as_deref().unwrap_or_default()).collect();
            Programs::new(folders, &self.near, self.strange.as_deref())
        });
        // A step with its own `PATH` may find another Python there.
        let pythons = path.iter().flat_map(|_| ["python", "python3"]);
        let mut named: Vec<usize> = Vec::new();
        for word in std::iter::once("bash").chain(pythons).chain(texts.flat_map(words)) {
            named.extend(programs.find(word, reuse)?);
        }
        // What a built environment has is known by its versions: built again, it is the same.
        named.retain(|&number| built.as_ref().is_none_or(|built| !programs.file(number).starts_with(&built.ready.bin)));
        named.sort_unstable();
        named.dedup();
        let key = (path, named, built.as_ref().map(|built| built.digest.clone()));
        let digest = machines.entry(key).or_insert_with_key(|(_, named, _)| {
            let mut machine = Machine { programs: programs.digests(named), ..base.clone() };
            if let Some(built) = built {
                machine.pythons = BTreeMap::from([("python".to_owned(), built.digest.clone())]);
                pythons_of_environments.insert(built.digest.clone(), built.python.clone());
            }
            let digest = machine.digest();
            described.push(machine);
            digest
        });
        Some(digest.clone())
    }

    /// The same for a step in a container: its image replaces all that this machine has, except for the variables that
    /// the project passes on.
    fn image(&self, container: &Container) -> Option<Digest> {
        let image = Some(self.environments.image(container)?);
        let machine = Machine { image, variables: self.passed.clone(), ..Machine::default() };
        let digest = machine.digest();
        let mut found = self.found();
        if !found.described.contains(&machine) {
            found.described.push(machine);
        }
        Some(digest)
    }

    /// The content of the digests that [`Host::machine`] returned, and of the Pythons in them.
    #[must_use]
    pub fn described(&self) -> (Vec<Machine>, Vec<Python>) {
        let found = self.found();
        let of_machine = self.interpreters.iter().map(|interpreter| interpreter.python.clone());
        let pythons = of_machine.chain(found.built.values().cloned()).collect();
        (found.described.clone(), pythons)
    }

    /// Why what the environment of a step contains is not known before the step runs; `None` if it is.
    #[must_use]
    pub fn unbuilt(&self, environment: Option<&Environment>) -> Option<String> {
        match &*self.environments.resolve(environment).ok()? {
            Resolution::Managed(managed) if self.environments.ready(managed).is_none() => {
                Some(format!("its environment '{}' is not built yet", managed.name))
            }
            Resolution::Container(container) if self.environments.image(container).is_none() => {
                Some(format!("the image of its environment '{}' is not on this machine yet", container.name))
            }
            _ => None,
        }
    }

    /// Whether everything is unchanged.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let found = self.found();
        !found.is_used
            || self.interpreters.iter().all(Interpreter::is_same) && found.programs.values().all(Programs::are_same)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
