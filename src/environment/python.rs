//! A Python as steps find it: which program, which version, which packages.
//!
//! The interpreter itself says where it looks for packages. The answer is cached in the user's cache folder as long
//! as the program and the packages in those places are the same, because starting Python takes longer than everything
//! else.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::installed::{self, Place};
use crate::digest::Digest;
use crate::exec::ask::{self, Reply};
use crate::fs::atomic::{self, Durability};
use crate::reuse::Python;

/// The timeout for an interpreter's answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Prints where the interpreter looks for packages, which of these places exist, and the names in them that
/// installation records cover. The version identifies the standard library. Nothing is imported from the current
/// folder, which belongs to a project. Packages may be installed later in a place that does not exist yet.
const SCRIPT: &str = r#"
import sys
sys.path[:] = [place for place in sys.path if place]
import json, os, site
own = os.path.dirname(os.path.realpath(os.__file__))
places = []
user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
for place in map(os.path.abspath, sys.path + user):
    if os.path.realpath(place) not in (own, os.path.join(own, "lib-dynload")) and place not in places:
        places.append(place)
packages, projects, recorded = {}, [], {}
try:
    from importlib import metadata
    for place in places:
        names = set()
        for found in metadata.distributions(path=[place]):
            name = found.metadata["Name"]
            if name and name not in packages:
                packages[name] = str(found.version)
            files = (found.read_text("RECORD") or "").splitlines()
            tops = {line.split(",")[0].split("/")[0] for line in files if "/" in line}
            if not files:
                tops = set((found.read_text("top_level.txt") or "").split()) if found.read_text("PKG-INFO") else set()
            names |= tops
            text = found.read_text("direct_url.json")
            if text and json.loads(text).get("dir_info", {}).get("editable"):
                from urllib.parse import unquote, urlparse
                projects.append(unquote(urlparse(json.loads(text)["url"]).path))
        recorded[place] = sorted(names - {"", "..", "__pycache__"})
except Exception:
    pass
print(json.dumps({"version": sys.version, "executable": sys.executable, "places": places, "packages": packages,
                  "projects": projects, "recorded": recorded}))
"#;

/// An interpreter's description of itself.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
struct Answer {
    version: String,
    executable: String,
    places: Vec<PathBuf>,
    packages: BTreeMap<String, String>,
    projects: Vec<PathBuf>,
    recorded: BTreeMap<PathBuf, Vec<String>>,
}

/// A cached answer, and what must be the same for it to be valid.
#[derive(Serialize, Deserialize)]
struct Kept {
    program: String,
    files: String,
    answer: Answer,
}

/// A Python, and what shows that it changed.
#[derive(Clone)]
pub(super) struct Interpreter {
    program: PathBuf,
    near: PathBuf,
    /// The stat of the program.
    stamp: String,
    places: Vec<Place>,
    pub python: Python,
}

impl Interpreter {
    /// Inspects an interpreter. `near` is the folder from which a version manager searches for a configured version;
    /// `others` were inspected just before and may have the same packages. `None` if it gives no answer in time, or
    /// none that can be parsed: then its packages are not known.
    pub(super) fn look(program: &Path, near: &Path, others: &[Self]) -> Option<Self> {
        let stamp = stamp(program, near);
        let kept_at = cache_file(program, &stamp);
        let files_of = |places: &[Place]| {
            let known = others.iter().find(|other| other.places == places);
            known.map_or_else(|| installed::fingerprint(places), |other| other.python.files.clone())
        };
        let kept = kept_at.as_deref().and_then(kept_answer).filter(|kept| kept.program == stamp);
        if let Some(kept) = kept {
            let places = places(&kept.answer);
            if files_of(&places) == kept.files {
                return Some(Self::of(program, near, stamp, places, kept.files, kept.answer));
            }
        }
        let answer = match ask::ask(program, &["-c", SCRIPT], near, LIMIT) {
            // Code that is loaded at every start may print as well.
            Reply::Printed(text) => {
                let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
                serde_json::from_slice::<Answer>(last).ok().filter(|answer| !answer.version.is_empty())?
            }
            // A version manager's script without a version to start: steps get nothing from it either.
            Reply::Failed => Answer::default(),
            Reply::None => return None,
        };
        let places = places(&answer);
        let files = installed::fingerprint(&places);
        if let Some(kept_at) = kept_at.filter(|_| !answer.version.is_empty()) {
            keep(&kept_at, &Kept { program: stamp.clone(), files: files.clone(), answer: answer.clone() });
        }
        Some(Self::of(program, near, stamp, places, files, answer))
    }

    fn of(program: &Path, near: &Path, stamp: String, places: Vec<Place>, files: String, answer: Answer) -> Self {
        let python = Python {
            program: program.display().to_string(),
            // Another build of the same version is another interpreter.
            version: format!("{} {} {}", answer.version, answer.executable, Digest::of(stamp.as_bytes()).short()),
            packages: answer.packages,
            files,
        };
        Self { program: program.to_owned(), near: near.to_owned(), stamp, places, python }
    }

    /// Whether the program and its packages are unchanged.
    pub(super) fn is_same(&self) -> bool {
        self.stamp == stamp(&self.program, &self.near) && self.python.files == installed::fingerprint(&self.places)
    }
}

fn places(answer: &Answer) -> Vec<Place> {
    let of = |place: &PathBuf| {
        if place.is_file() {
            return Place::File(place.clone());
        }
        let is_installed = place.ends_with("site-packages") || place.ends_with("dist-packages");
        let recorded = answer.recorded.get(place).into_iter().flatten();
        match is_installed {
            true => Place::Installed(place.clone(), recorded.map(Into::into).collect::<HashSet<_>>()),
            false => Place::Project(place.clone()),
        }
    };
    let projects = answer.projects.iter().cloned().map(Place::Project);
    // A version manager's script stays the same when the interpreter behind it is rebuilt.
    let executable = Some(PathBuf::from(&answer.executable)).filter(|path| path.is_absolute());
    let executable = executable.map(|path| Place::File(path.canonicalize().unwrap_or(path)));
    answer.places.iter().map(of).chain(projects).chain(executable).collect()
}

/// The stat of a program, of its virtual environment, and of the files that a version manager reads.
fn stamp(program: &Path, near: &Path) -> String {
    let mut text = String::new();
    said(program, &mut text);
    let beside = program.parent().unwrap_or(program);
    said(&beside.join("../pyvenv.cfg"), &mut text);
    if is_script(program) {
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["PYENV_", "ASDF_", "MISE_"].iter().any(|prefix| name.starts_with(prefix)) {
                // Writing to a string cannot fail.
                let _ = write!(text, " {name}={}", value.to_string_lossy());
            }
        }
        said(&beside.join("../version"), &mut text);
        let home = std::env::var_os("HOME").map(PathBuf::from);
        for folder in near.ancestors().map(Path::to_owned).chain(home) {
            for name in [".python-version", ".tool-versions", ".mise.toml"] {
                said(&folder.join(name), &mut text);
            }
        }
    }
    text
}

/// Adds the stat of a file; nothing if it does not exist.
fn said(path: &Path, text: &mut String) {
    if let Ok(m) = fs::metadata(path) {
        let (changed, modified) = ((m.ctime(), m.ctime_nsec()), (m.mtime(), m.mtime_nsec()));
        // Writing to a string cannot fail.
        let _ = write!(text, " {} {} {changed:?} {modified:?} {}", path.display(), m.size(), m.ino());
    }
}

fn is_script(program: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 2];
    fs::File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

/// The cache file for an interpreter's answer. A version manager's script may be several interpreters.
fn cache_file(program: &Path, stamp: &str) -> Option<PathBuf> {
    let cache = crate::fs::user::cache_folder()?;
    let choice = if is_script(program) { stamp } else { "" };
    let name = Digest::of(format!("{} {choice}", program.display()).as_bytes());
    Some(cache.join("pythons/v2").join(format!("{}.json", name.short())))
}

fn kept_answer(place: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(place).ok()?).ok()
}

/// Stores the answer. If that fails, only the next run is a bit slower.
fn keep(place: &Path, kept: &Kept) {
    let Ok(text) = serde_json::to_vec(kept) else { return };
    let Some(folder) = place.parent() else { return };
    let _ = fs::create_dir_all(folder).and_then(|()| atomic::write(place, text, Durability::Unsynced));
}
