//! An overlay: a virtual environment for one step, over the environment that it would use. What the step installs with
//! pip is in the overlay and ends with it, and the environment below stays as it is.
//!
//! It is a virtual environment (PEP 405) whose packages come first, followed by those of the environment below. pip
//! removes nothing outside of the virtual environment that it runs in.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::again::word;
use crate::exec::ask::{self, Reply};

/// The Python below an overlay, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Base {
    /// The interpreter itself, not that of a virtual environment.
    program: PathBuf,
    /// Its version, such as `3.11`.
    version: String,
    /// The folders with its packages.
    places: Vec<PathBuf>,
    /// The folder of its programs.
    scripts: PathBuf,
    /// Whether it is a virtual environment.
    is_virtual: bool,
}

/// The timeout for an interpreter's answer.
const LIMIT: Duration = Duration::from_secs(20);

const SCRIPT: &str = r#"
import json, os, site, sys
places = site.getsitepackages() + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])
print(json.dumps({
    "program": getattr(sys, "_base_executable", None) or os.path.realpath(sys.executable),
    "version": "%d.%d" % sys.version_info[:2],
    "places": [place for place in places if os.path.isdir(place)],
    "scripts": os.path.dirname(sys.executable),
    "is_virtual": sys.prefix != sys.base_prefix,
}))
"#;

impl Base {
    /// Asks an interpreter. `near` is the folder from which a version manager searches for a configured version. `None`
    /// if it gives no answer.
    #[must_use]
    pub fn ask(python: &Path, near: &Path) -> Option<Self> {
        let Reply::Printed(text) = ask::ask(python, &["-c", SCRIPT], near, LIMIT) else { return None };
        // Code that is loaded at every start may print as well.
        let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
        serde_json::from_slice(last).ok()
    }
}

/// An overlay. It is removed when this is dropped.
#[derive(Debug)]
pub struct Overlay {
    folder: TempDir,
    /// Shows other processes that the overlay is used.
    _used: File,
}

impl Overlay {
    /// Makes an overlay in a folder of its own inside `root`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn over(base: &Base, root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let making = File::open(root)?;
        making.lock_shared()?;
        let folder = tempfile::Builder::new().prefix("overlay-").tempdir_in(root)?;
        let used = File::open(folder.path())?;
        used.lock()?;
        drop(making);
        let overlay = Self { folder, _used: used };
        overlay.lay(base)?;
        Ok(overlay)
    }

    /// Its folder, the value of `VIRTUAL_ENV`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of its programs.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.folder().join("bin")
    }

    fn lay(&self, base: &Base) -> io::Result<()> {
        let (bin, python) = (self.bin(), self.bin().join("python"));
        let packages = self.folder().join(format!("lib/python{}/site-packages", base.version));
        fs::create_dir_all(&bin)?;
        fs::create_dir_all(&packages)?;
        // Of a virtual environment only its own packages count, and those are in `places`.
        let system = if base.is_virtual { "false" } else { "true" };
        let home = base.program.parent().unwrap_or(Path::new("/")).display();
        let settings = format!("home = {home}\ninclude-system-site-packages = {system}\nversion = {}\n", base.version);
        fs::write(self.folder().join("pyvenv.cfg"), settings)?;
        symlink(&base.program, &python)?;
        for name in ["python3".to_owned(), format!("python{}", base.version)] {
            symlink("python", bin.join(name))?;
        }
        let places = serde_json::to_string(&base.places)?;
        let link = format!("import site; list(map(site.addsitedir, {places}))\n");
        fs::write(packages.join("_environment_below.pth"), link)?;
        for name in ["pip".to_owned(), "pip3".to_owned(), format!("pip{}", base.version)] {
            script(&bin.join(name), &python, "-m pip")?;
        }
        for program in programs(&base.scripts) {
            let name = program.file_name().unwrap_or_default();
            if !bin.join(name).exists() {
                script(&bin.join(name), &python, &word(&program))?;
            }
        }
        Ok(())
    }
}

/// Removes the overlays of processes that were killed.
pub fn sweep(root: &Path) {
    let Ok(making) = File::open(root) else { return };
    // Whoever makes one right now does not show yet that it is used.
    if making.try_lock().is_err() {
        return;
    }
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// A program of the overlay, which starts its Python with these arguments.
fn script(path: &Path, python: &Path, arguments: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(path)?;
    write!(file, "#!/bin/sh\nexec {} {arguments} \"$@\"\n", word(python))
}

/// A folder with more files than this is not that of a Python alone.
const MOST_PROGRAMS: usize = 1000;

/// The programs of an environment that its Python runs, such as `mlflow`. pip is not one of them.
fn programs(scripts: &Path) -> Vec<PathBuf> {
    let files: Vec<PathBuf> =
        fs::read_dir(scripts).into_iter().flatten().flatten().map(|entry| entry.path()).take(MOST_PROGRAMS).collect();
    if files.len() == MOST_PROGRAMS {
        return Vec::new();
    }
    let mut found: Vec<PathBuf> = files.into_iter().filter(|file| is_python_program(file, scripts)).collect();
    found.sort_unstable();
    found
}

/// Whether the first line of a program names a Python of this folder.
fn is_python_program(file: &Path, scripts: &Path) -> bool {
    use std::io::Read as _;
    let mut start = Vec::new();
    let read = File::open(file).and_then(|file| file.take(512).read_to_end(&mut start));
    let text = String::from_utf8_lossy(&start);
    let first = text.lines().next().unwrap_or_default();
    read.is_ok()
        && file.is_file()
        && first
            .strip_prefix("#!")
            .is_some_and(|line| line.trim().strip_prefix(&format!("{}/python", scripts.display())).is_some())
}

/// Whether a command or a script installs packages: it has `pip`, and soon after it `install`; or another tool that
/// installs into the active environment.
#[must_use]
pub fn installs(text: &str) -> bool {
    /// The arguments between both words, or the quotes and line breaks between them in a list.
    const NEAR: usize = 80;
    let others = [
        "poetry install",
        "poetry add",
        "pipenv ",
        "pip-sync",
        "uv sync",
        "uv add",
        "setup.py install",
        "setup.py develop",
        "easy_install",
    ];
    text.match_indices("pip").any(|(at, _)| {
        let rest = &text.as_bytes()[at..];
        let near = &rest[..rest.len().min(NEAR)];
        near.windows(7).any(|word| word == b"install") || near.windows(5).any(|word| word == b" sync")
    }) || others.iter().any(|other| text.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::program::on_path;

    fn base() -> Base {
        Base::ask(&on_path("python3", None).expect("the tests need a Python"), Path::new("/")).unwrap()
    }

    #[test]
    fn an_overlay_sees_what_is_below_and_its_own_packages_come_first() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("below's");
        fs::create_dir(&below).unwrap();
        fs::write(below.join("one.py"), "NAME = 'below'").unwrap();
        fs::write(below.join("two.py"), "NAME = 'below'").unwrap();
        let base = Base { places: vec![below], ..base() };
        let overlay = Overlay::over(&base, &root.path().join("overlays")).unwrap();
        let own = overlay.folder().join(format!("lib/python{}/site-packages/two.py", base.version));
        fs::write(own, "NAME = 'own'").unwrap();
        let script = "import sys, one, two; print(one.NAME, two.NAME, sys.prefix)";
        let reply = ask::ask(&overlay.bin().join("python"), &["-c", script], Path::new("/"), LIMIT);
        let Reply::Printed(text) = reply else { panic!("{reply:?}") };
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("below own ") && text.contains("overlay-"), "{text}");
    }

    #[test]
    fn an_overlay_ends_with_its_step_and_those_of_killed_processes_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let overlay = Overlay::over(&base(), root.path()).unwrap();
        let left = root.path().join("overlay-left");
        fs::create_dir(&left).unwrap();
        sweep(root.path());
        assert!(!left.exists() && overlay.folder().exists());
        let folder = overlay.folder().to_owned();
        drop(overlay);
        assert!(!folder.exists());
    }

    #[test]
    fn what_installs_packages_is_recognized() {
        for text in [
            "pip install -r requirements.txt && python train.py",
            "python -m pip --quiet install x",
            "uv pip install x",
            "subprocess.check_call([\n    sys.executable, '-m', 'pip',\n    'install', 'x'])",
            "pip3 install x",
            "python setup.py develop",
        ] {
            assert!(installs(text), "{text}");
        }
        for text in ["python train.py", "pipeline.fit(x)", "apt-get install x", "pip freeze", "pip\u{e9}"] {
            assert!(!installs(text), "{text}");
        }
    }
}
