//! What is known of a plan's local inputs and code: the stat of their files immediately, their digests when needed.
//!
//! Reading a large input takes longer than many steps. So an input is read before a step only if that may save the
//! step. Otherwise it is read afterwards, when nothing waits for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::digest::{Digest, tree_order};
use crate::environment::Host;
use crate::plan::{Code, Form, Part, Plan, Remote, Step, Substitute};
use crate::reuse::{Listing, Reuse};
use crate::store::snapshot::Snapshot;

/// The local files of a plan.
#[derive(Default)]
pub struct InputSnapshot {
    data: HashMap<PathBuf, InputTree>,
    remotes: HashMap<(String, Form, Option<String>), RemoteInput>,
    code: HashMap<Code, InputTree>,
    /// The programs, packages and variables of the machine; `None` if nothing is reused and no caller needs them.
    pub host: Option<Host>,
    /// The texts of shell scripts that commands name, by their paths.
    scripts: Mutex<HashMap<PathBuf, Option<Arc<str>>>>,
}

/// Remote data: what was seen of it before the run, and the local copy.
struct RemoteInput {
    /// Its state before the run.
    state: String,
    copy: Mutex<Option<Arc<LocalCopy>>>,
}

/// A copy of remote data.
pub(in crate::engine) struct LocalCopy {
    pub path: PathBuf,
    pub tree: InputTree,
}

/// What was seen of remote data before a run.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its state, such as an `ETag`: when the state changes, the content may have changed.
    pub state: String,
    /// The copy of exactly that state that an earlier run fetched.
    pub copy: Option<PathBuf>,
}

/// One tree of files.
pub(in crate::engine) struct InputTree {
    /// Its name in the stat cache.
    place: String,
    /// Its files when the run began; an error message if they could not be listed.
    pub listing: Result<Listing, String>,
    digest: OnceLock<Option<Digest>>,
}

impl InputTree {
    fn new(place: String, listing: Result<Listing, String>) -> Self {
        Self { place, listing, digest: OnceLock::new() }
    }

    /// The digest, if it is known without reading files.
    pub(crate) fn known(&self, reuse: &Reuse) -> Option<Digest> {
        if let Some(known) = self.digest.get() {
            return known.clone();
        }
        let known = reuse.known(&self.place, self.listing.as_ref().ok()?).ok()??;
        let _ = self.digest.set(Some(known.digest.clone()));
        Some(known.digest)
    }

    /// The digest of exactly what was listed. Files that are not in the stat cache are read. `None` if that is
    /// impossible, or if the files have changed since.
    pub(crate) fn digest(&self, reuse: &Reuse) -> Option<Digest> {
        let read = || {
            let listing = self.listing.as_ref().ok()?;
            let all_shows = listing.unsettled().is_none();
            all_shows.then(|| reuse.contents(&self.place, listing).ok()).flatten().map(|contents| contents.digest)
        };
        self.digest.get_or_init(read).clone()
    }
}

impl InputSnapshot {
    /// Adds what was seen of the plan's remote data.
    #[must_use]
    pub fn with(mut self, seen: Vec<(Remote, Seen)>) -> Self {
        for (remote, seen) in seen {
            let copy = Mutex::new(seen.copy.map(copy_at));
            let tree = RemoteInput { state: seen.state, copy };
            self.remotes.insert((remote.address, remote.form, remote.after), tree);
        }
        self
    }

    fn remote(&self, remote: &Remote) -> Option<&RemoteInput> {
        self.remotes.get(&(remote.address.clone(), remote.form, remote.after.clone()))
    }

    /// The state in which remote data was seen before the run.
    pub(in crate::engine) fn state(&self, remote: &Remote) -> Option<&str> {
        self.remote(remote).map(|tree| tree.state.as_str())
    }

    /// The copy of remote data, once it has been fetched.
    pub(in crate::engine) fn copy(&self, remote: &Remote) -> Option<Arc<LocalCopy>> {
        self.remote(remote)?.copy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is an unchanged copy.
    pub(in crate::engine) fn has_intact(&self, remote: &Remote) -> bool {
        self.copy(remote).is_some_and(|copy| {
            let now = Listing::of(&copy.path).map(|now| now.fingerprint());
            copy.tree.listing.as_ref().is_ok_and(|before| now.is_ok_and(|now| now == before.fingerprint()))
        })
    }

    /// Stores the path of remote data that has been fetched.
    pub(in crate::engine) fn fetched(&self, remote: &Remote, path: PathBuf) {
        if let Some(tree) = self.remote(remote) {
            *tree.copy.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy_at(path));
        }
    }

    /// Lists the local inputs and the code of those steps that may be reused.
    #[must_use]
    pub fn gather(plan: &Plan, workspace: &Path) -> Self {
        let mut snapshot = Self::default();
        for step in plan.all_steps() {
            for path in local_paths(step) {
                if !snapshot.data.contains_key(path) {
                    snapshot.data.insert(path.to_owned(), tree_at(path));
                }
            }
            let code = step.command().filter(|_| step.substitute.is_none()).and_then(|command| command.code.as_ref());
            if let Some(code) = code.filter(|code| !snapshot.code.contains_key(*code)) {
                let listing = settled(|| code_listing(code, plan.kind == "pipeline", workspace));
                snapshot.code.insert(code.clone(), InputTree::new(format!("code:{code:?}"), listing));
            }
        }
        snapshot
    }

    pub(in crate::engine) fn data(&self, path: &Path) -> Option<&InputTree> {
        self.data.get(path)
    }

    pub(in crate::engine) fn code(&self, code: &Code) -> Option<&InputTree> {
        self.code.get(code)
    }

    /// The text of a shell script in a step's code, by the name that a command or another script uses for it.
    pub(in crate::engine) fn script(&self, code: &Code, name: &str) -> Option<Arc<str>> {
        let name = name.strip_prefix("./").unwrap_or(name);
        let listing = self.code(code)?.listing.as_ref().ok()?;
        let file = &listing.files[listing.files.binary_search_by(|file| tree_order(&file.path, name)).ok()?];
        let place = listing.place(file).into_owned();
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = scripts.get(&place) {
            return known.clone();
        }
        let text = if file.size <= LARGEST_SCRIPT { shell_script(&place) } else { None };
        scripts.insert(place, text.clone());
        text
    }
}

/// Larger files are not read as scripts, in bytes.
const LARGEST_SCRIPT: u64 = 256 << 10;

/// The text of a file, if it is a shell script.
fn shell_script(path: &Path) -> Option<Arc<str>> {
    let text = std::fs::read_to_string(path).ok()?;
    let first = text.lines().next().unwrap_or_default();
    let is_named_so = path.extension().is_some_and(|ending| ["sh", "bash"].iter().any(|known| ending == *known));
    (is_named_so || first.starts_with("#!") && first.contains("sh")).then(|| text.into())
}

fn copy_at(path: PathBuf) -> Arc<LocalCopy> {
    let tree = tree_at(&path);
    Arc::new(LocalCopy { path, tree })
}

fn tree_at(path: &Path) -> InputTree {
    let listing = settled(|| Listing::of(path).map_err(|e| e.to_string()));
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string();
    InputTree::new(place, listing)
}

/// A listing in which every later change is visible.
fn settled(list: impl Fn() -> Result<Listing, String>) -> Result<Listing, String> {
    let listing = list()?;
    let Some(wait) = listing.unsettled() else { return Ok(listing) };
    std::thread::sleep(wait);
    list()
}

/// The current files of a step's code.
pub(in crate::engine) fn code_listing(code: &Code, in_pipeline: bool, workspace: &Path) -> Result<Listing, String> {
    let snapshot = Snapshot::of(code.root.as_deref(), &code.includes, in_pipeline, workspace);
    Listing::of_files(snapshot.map_err(|e| e.to_string())?.files()).map_err(|e| e.to_string())
}

/// The local files and folders that a step reads, or the samples that replace it.
pub(in crate::engine) fn local_paths(step: &Step) -> Vec<&Path> {
    match &step.substitute {
        Some(Substitute::Stub { outputs }) => outputs.values().map(PathBuf::as_path).collect(),
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
