//! A Python as steps find it: which program, which version, which packages.
//!
//! The interpreter itself says where it looks for packages; that answer is kept in the user's cache folder for as long as
//! the program and the files in those places are the same, for starting Python takes longer than all the rest.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::installed::{self, Counts};
use crate::digest::Digest;
use crate::exec::ask;
use crate::reuse::Python;

/// How long an interpreter has for its answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Prints where the interpreter looks for packages, and which there are. Its own library comes with its version.
const SCRIPT: &str = r#"
import json, os, sys
own = os.path.dirname(os.path.realpath(os.__file__))
places = []
for place in sys.path:
    place = os.path.abspath(place) if place else ""
    if place and os.path.exists(place) and os.path.realpath(place) not in (own, os.path.join(own, "lib-dynload")):
        places.append(place)
packages, projects = {}, []
try:
    from importlib import metadata
    for found in metadata.distributions(path=places):
        name = found.metadata["Name"]
        if name and name not in packages:
            packages[name] = str(found.version)
        text = found.read_text("direct_url.json")
        if text and json.loads(text).get("dir_info", {}).get("editable"):
            from urllib.parse import unquote, urlparse
            projects.append(unquote(urlparse(json.loads(text)["url"]).path))
except Exception:
    pass
print(json.dumps({"version": sys.version, "executable": sys.executable, "places": places, "packages": packages,
                  "projects": projects}))
"#;

/// What an interpreter says of itself.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct Answer {
    version: String,
    executable: String,
    places: Vec<PathBuf>,
    packages: std::collections::BTreeMap<String, String>,
    projects: Vec<PathBuf>,
}

/// An answer with what must be the same for it to hold.
#[derive(Serialize, Deserialize)]
struct Kept {
    program: String,
    files: String,
    answer: Answer,
}

/// A Python, and what shows that it changed.
#[derive(Clone)]
pub(super) struct Watched {
    program: PathBuf,
    near: PathBuf,
    /// What the system says of the program.
    stamp: String,
    folders: Vec<(PathBuf, Counts)>,
    /// What the system says of these folders themselves.
    glance: String,
    pub python: Python,
}

impl Watched {
    /// Whether this is the Python behind that path: the same file, and the same environment around it.
    pub fn is_same_program(&self, other: &Path) -> bool {
        self.program.parent() == other.parent()
            && fs::canonicalize(&self.program).ok() == fs::canonicalize(other).ok()
            && !is_script(other)
    }

    /// Whether the program and the folders of its packages are as they were.
    pub fn seems_same(&self) -> bool {
        self.stamp == stamp(&self.program, &self.near) && self.glance == glance(&self.folders)
    }

    /// Whether every file is as it was.
    pub fn is_same(&self) -> bool {
        self.seems_same() && self.python.files == installed::fingerprint(&self.folders)
    }
}

/// Looks at an interpreter. `near` is where a version manager begins to look for a choice of version.
pub(super) fn look(program: &Path, near: &Path) -> Watched {
    let stamp = stamp(program, near);
    let place = cache_file(program, near);
    if let Some(kept) = place.as_deref().and_then(kept_answer)
        && kept.program == stamp
    {
        let watched = watched(program, near, stamp.clone(), kept.answer);
        if watched.python.files == kept.files {
            return watched;
        }
    }
    let answer = ask::ask(program, &["-c", SCRIPT], near, LIMIT);
    let answer = answer.and_then(|text| serde_json::from_slice::<Answer>(&text).ok()).unwrap_or_default();
    let watched = watched(program, near, stamp.clone(), answer.clone());
    if let Some(place) = place.filter(|_| !answer.version.is_empty()) {
        keep(&place, &Kept { program: stamp, files: watched.python.files.clone(), answer });
    }
    watched
}

fn watched(program: &Path, near: &Path, stamp: String, answer: Answer) -> Watched {
    let is_installed = |place: &Path| place.ends_with("site-packages") || place.ends_with("dist-packages");
    let places = answer
        .places
        .iter()
        .map(|place| (place.clone(), if is_installed(place) || place.is_file() { Counts::All } else { Counts::Code }));
    let projects = answer.projects.into_iter().map(|place| (place, Counts::Code));
    // A version manager's script stays the same when the interpreter behind it is built anew.
    let executable = Some(PathBuf::from(&answer.executable)).filter(|path| path.is_absolute());
    let folders: Vec<_> = places.chain(projects).chain(executable.map(|path| (path, Counts::All))).collect();
    let python = Python {
        program: program.display().to_string(),
        // The program that a version manager chooses is another one under the same path.
        version: format!("{} {} {}", answer.version, answer.executable, Digest::of(stamp.as_bytes()).short()),
        packages: answer.packages,
        files: installed::fingerprint(&folders),
    };
    let glance = glance(&folders);
    Watched { program: program.to_owned(), near: near.to_owned(), stamp, folders, glance, python }
}

/// What the system says of a program, of the environment that it belongs to, and of what a version manager goes by.
fn stamp(program: &Path, near: &Path) -> String {
    let mut text = said(program);
    let beside = program.parent().unwrap_or(program);
    text.push_str(&said(&beside.join("../pyvenv.cfg")));
    if is_script(program) {
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["PYENV_", "ASDF_", "MISE_"].iter().any(|prefix| name.starts_with(prefix)) {
                text.push_str(&format!(" {name}={}", value.to_string_lossy()));
            }
        }
        text.push_str(&said(&beside.join("../version")));
        let home = std::env::var_os("HOME").map(PathBuf::from);
        for folder in near.ancestors().map(Path::to_owned).chain(home) {
            for name in [".python-version", ".tool-versions", ".mise.toml"] {
                text.push_str(&said(&folder.join(name)));
            }
        }
    }
    text
}

/// What the system says of a file or folder; nothing when there is none.
fn said(path: &Path) -> String {
    let of = |path: &Path| {
        let m = fs::metadata(path).ok()?;
        Some(format!(
            " {} {} {}.{} {}.{} {}",
            path.display(),
            m.size(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec(),
            m.ino()
        ))
    };
    of(&path.canonicalize().unwrap_or_else(|_| path.to_owned())).unwrap_or_default()
}

fn glance(folders: &[(PathBuf, Counts)]) -> String {
    folders.iter().filter(|(_, counts)| *counts == Counts::All).map(|(folder, _)| said(folder)).collect()
}

fn is_script(program: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 2];
    fs::File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

fn cache_file(program: &Path, near: &Path) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    // What a version manager chooses depends on where it is asked.
    let asked = if is_script(program) { near.display().to_string() } else { String::new() };
    let name = Digest::of(format!("{} {asked}", program.display()).as_bytes());
    Some(cache.join("amlrun/pythons/v1").join(format!("{}.json", name.short())))
}

fn kept_answer(place: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(place).ok()?).ok()
}

/// That it cannot be kept costs the next run a moment.
fn keep(place: &Path, kept: &Kept) {
    let Ok(text) = serde_json::to_vec(kept) else { return };
    let Some(folder) = place.parent() else { return };
    let partial = place.with_extension(format!("{}.part", std::process::id()));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&partial, text));
    if written.and_then(|()| fs::rename(&partial, place)).is_err() {
        let _ = fs::remove_file(&partial);
    }
}
