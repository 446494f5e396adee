//! What is known of a plan's local inputs and code: the stat of their files at once, their digests when they are needed.
//!
//! Reading a large input takes longer than many a step. So it is read before a step only when that may save the step, else
//! after it, while nobody waits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::digest::Digest;
use crate::plan::{Code, Part, Plan, StandIn, Step};
use crate::reuse::{Listing, Reuse};
use crate::store::snapshot::Snapshot;

/// The local files of a plan.
#[derive(Default)]
pub struct Facts {
    data: HashMap<PathBuf, Fact>,
    code: HashMap<Code, Fact>,
    /// The program that `python` is on this machine.
    pub python: Option<PathBuf>,
}

/// One tree of files.
pub(super) struct Fact {
    /// Its name in the stat cache.
    place: String,
    /// Its files when the run began; a sentence when they could not be listed.
    pub listing: Result<Listing, String>,
    digest: OnceLock<Option<Digest>>,
}

impl Fact {
    fn new(place: String, listing: Result<Listing, String>) -> Self {
        Self { place, listing, digest: OnceLock::new() }
    }

    /// The digest, when it is known without reading anything.
    pub fn known(&self, reuse: &Reuse) -> Option<Digest> {
        if let Some(known) = self.digest.get() {
            return known.clone();
        }
        let known = reuse.known(&self.place, self.listing.as_ref().ok()?).ok()??;
        let _ = self.digest.set(Some(known.digest.clone()));
        Some(known.digest)
    }

    /// The digest; what the stat cache does not know is read. `None` when that is not possible.
    pub fn digest(&self, reuse: &Reuse) -> Option<Digest> {
        let read = || Some(reuse.contents(&self.place, self.listing.as_ref().ok()?).ok()?.digest);
        self.digest.get_or_init(read).clone()
    }
}

impl Facts {
    /// Looks at the local inputs and the code of those steps that may be reused.
    #[must_use]
    pub fn gather(plan: &Plan, workspace: &Path) -> Self {
        let mut facts = Self::default();
        for step in &plan.steps {
            for path in local_paths(step) {
                if !facts.data.contains_key(path) {
                    let listing = Listing::of(path).map_err(|e| e.to_string());
                    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string();
                    facts.data.insert(path.to_owned(), Fact::new(place, listing));
                }
            }
            let code = step.code.as_ref().filter(|_| step.stand_in.is_none());
            if let Some(code) = code.filter(|code| !facts.code.contains_key(*code)) {
                let fact = Fact::new(format!("code:{code:?}"), code_listing(code, plan.kind == "pipeline", workspace));
                facts.code.insert(code.clone(), fact);
            }
        }
        facts
    }

    pub(super) fn data(&self, path: &Path) -> Option<&Fact> {
        self.data.get(path)
    }

    pub(super) fn code(&self, code: &Code) -> Option<&Fact> {
        self.code.get(code)
    }
}

/// The files of a step's code as they are now.
pub(super) fn code_listing(code: &Code, in_pipeline: bool, workspace: &Path) -> Result<Listing, String> {
    let snapshot = Snapshot::of(code.root.as_deref(), &code.includes, in_pipeline, workspace);
    Listing::of_files(snapshot.map_err(|e| e.to_string())?.files()).map_err(|e| e.to_string())
}

/// The local files and folders that a step reads, or the samples that stand for it.
pub(super) fn local_paths(step: &Step) -> Vec<&Path> {
    match &step.stand_in {
        Some(StandIn::Stub { outputs }) => outputs.values().map(PathBuf::as_path).collect(),
        Some(_) => Vec::new(),
        None => {
            let parts = step.values().flat_map(|value| &value.parts);
            let paths = parts.filter_map(|part| match part {
                Part::Path(path) => Some(path.as_path()),
                _ => None,
            });
            paths.collect()
        }
    }
}
