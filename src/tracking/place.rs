//! The location of artifacts: turns the path behind `mlflow-artifacts:/` into one on disk, and never outside its
//! folder.
//!
//! `<experiment>/<run>/artifacts/…` is the run's own folder. `models/<name>/<version>/…` is the sealed content of a
//! registered model, which nobody can write. The other artifacts of a job are part of its tree. Every path is checked
//! twice: as text (no `..`, no root, nothing encoded), and, after symbolic links are followed, against the folder in
//! which it must be.

use std::path::{Path, PathBuf};

use super::model::FileInfo;
use super::{Result, Tracking, TrackingError};
use crate::fs::atomic::PARTIAL;
use crate::registry::{Asset, AssetKind, Selector};
use crate::store::left::left_beside;

/// The prefix of artifact URIs.
pub const SCHEME: &str = "mlflow-artifacts:/";

/// The location of artifacts: a folder on disk, and a path inside it that was checked as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
    inside: PathBuf,
    keeper: Keeper,
}

/// Who writes to a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    /// Nobody: it is the content of a registered model.
    Nobody,
    /// Only this server, which replaces files and never writes into them.
    Server,
    /// A step as well: the runner gave the run its own folder.
    Step,
}

impl Tracking {
    /// The location of a path behind `mlflow-artifacts:/`.
    ///
    /// # Errors
    /// A path that could lead outside, or a model version that is not registered.
    pub fn place(&self, path: &str) -> Result<Place> {
        let inside = check(path)?;
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if let ["models", name, version, ..] = parts.as_slice() {
            let selector = Selector::Version((*version).to_owned());
            let asset = self.registry.get(AssetKind::Model, name, &selector)?;
            self.registry.intact(&asset)?;
            return Ok(Place { root: sealed_root(&asset), inside: below(&inside, 3), keeper: Keeper::Nobody });
        }
        // Only a run with its own folder is not where its URI says.
        if let Some(at) = parts.iter().position(|part| *part == "artifacts").filter(|at| *at > 0) {
            match self.db.artifact_place(parts[at - 1]) {
                Ok((Some(root), uri)) if uri == format!("{SCHEME}{}", parts[..=at].join("/")) => {
                    return Ok(Place { root, inside: below(&inside, at + 1), keeper: Keeper::Step });
                }
                Ok(_) | Err(TrackingError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Place { root: self.artifacts.clone(), inside, keeper: Keeper::Server })
    }

    /// The location of a path inside a run's artifacts.
    ///
    /// # Errors
    /// An unknown run, or a path that could lead outside.
    pub fn run_place(&self, run_id: &str, path: &str) -> Result<Place> {
        let inside = check(path)?;
        let (folder, uri) = self.db.artifact_place(run_id)?;
        match (folder, uri.strip_prefix(SCHEME)) {
            (Some(root), _) => Ok(Place { root, inside, keeper: Keeper::Step }),
            (None, Some(below)) => {
                let root = self.artifacts.join(check(below)?);
                Ok(Place { root, inside, keeper: Keeper::Server })
            }
            (None, None) => Err(TrackingError::Invalid(format!(
                "The artifacts of run {run_id} are stored at '{uri}', which this server does not serve; read them \
                 from there."
            ))),
        }
    }
}

/// The URI for the sealed content of a model version. A model with one file is that file; a model that was registered
/// by its address is at that address.
#[must_use]
pub fn sealed_uri(asset: &Asset) -> String {
    if let Some(address) = asset.uri() {
        return address.to_owned();
    }
    let folder = format!("{SCHEME}models/{}/{}", asset.name, asset.version);
    match asset.path.file_name().filter(|_| asset.path.is_file()) {
        Some(name) => format!("{folder}/{}", name.to_string_lossy()),
        None => folder,
    }
}

/// The folder that contains a sealed model: itself, or the folder around a single file.
fn sealed_root(asset: &Asset) -> PathBuf {
    match asset.path.parent() {
        Some(folder) if asset.path.is_file() => folder.to_owned(),
        _ => asset.path.clone(),
    }
}

/// The path after the parts that name a run or a model version.
fn below(path: &Path, parts: usize) -> PathBuf {
    path.components().skip(parts).collect()
}

/// Turns a path from outside into a relative path that cannot leave the folder to which it is joined.
///
/// # Errors
/// `..`, an absolute path, a drive, a backslash, a NUL, or any of these hidden by percent-encoding.
pub fn check(path: &str) -> Result<PathBuf> {
    let bad = || TrackingError::Invalid(format!("Invalid path: '{path}'"));
    let lower = path.to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c", "%25", "%00"].iter().any(|code| lower.contains(code));
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    if hidden || drive || path.starts_with('/') || path.contains(['\\', '\0']) {
        return Err(bad());
    }
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.map(|part| if part == ".." || part.starts_with(PARTIAL) { Err(bad()) } else { Ok(part) }).collect()
}

impl Place {
    /// The path on disk, if it exists.
    ///
    /// # Errors
    /// The path does not exist, or a symbolic link leads outside.
    pub fn existing(&self) -> Result<PathBuf> {
        match (self.logged(), self.beside()) {
            (Err(TrackingError::Missing(_)), Some(beside)) => beside.logged(),
            (found, _) => found,
        }
    }

    /// The same path in another folder of the job that is part of the same tree on Azure ML.
    fn beside(&self) -> Option<Self> {
        let first = self.inside.iter().next().filter(|_| self.keeper == Keeper::Step)?;
        let (_, root) = left_beside(&self.root).into_iter().find(|(name, _)| first == *name)?;
        Some(Self { root, inside: self.inside.iter().skip(1).collect(), keeper: Keeper::Step })
    }

    fn is_whole_job(&self) -> bool {
        self.keeper == Keeper::Step && self.inside.as_os_str().is_empty()
    }

    /// The path on disk, if something was logged there.
    fn logged(&self) -> Result<PathBuf> {
        let missing = || TrackingError::Missing(format!("No such artifact: '{}'", self.inside.display()));
        let root = self.root.canonicalize().map_err(|_| missing())?;
        let path = root.join(&self.inside).canonicalize().map_err(|_| missing())?;
        self.inside_of(&root, &path)?;
        Ok(path)
    }

    /// The path on disk for writing a file; its parent folders are made.
    ///
    /// # Errors
    /// A sealed model, a path without a file name, or a symbolic link that leads outside.
    pub fn for_writing(&self) -> Result<PathBuf> {
        if self.keeper == Keeper::Nobody {
            return Err(TrackingError::Invalid("A registered model version is sealed and cannot be changed.".into()));
        }
        let Some(name) = self.inside.file_name() else {
            return Err(TrackingError::Invalid("Invalid path: an artifact needs a file name".to_owned()));
        };
        std::fs::create_dir_all(&self.root).map_err(TrackingError::io(&self.root))?;
        let root = self.root.canonicalize().map_err(TrackingError::io(&self.root))?;
        let folder = root.join(self.inside.parent().unwrap_or(Path::new("")));
        // An existing part of the path must be inside before anything is made below it.
        if let Some(there) = folder.ancestors().find(|path| path.exists()) {
            self.inside_of(&root, &there.canonicalize().map_err(TrackingError::io(there))?)?;
        }
        std::fs::create_dir_all(&folder).map_err(TrackingError::io(&folder))?;
        let target = folder.join(name);
        if target.is_dir() {
            return Err(TrackingError::Invalid(format!("'{}' is a folder, not a file", self.inside.display())));
        }
        Ok(target)
    }

    /// The files and folders directly below, sorted by name, with names relative to this location. Empty for a file
    /// or if nothing exists, as in MLflow.
    ///
    /// # Errors
    /// A symbolic link that leads outside, or a folder that cannot be read.
    pub fn list(&self) -> Result<Vec<FileInfo>> {
        let mut files = self.list_logged()?;
        let mut more = self.beside().map_or_else(|| Ok(Vec::new()), |beside| beside.list_logged())?;
        if self.is_whole_job() {
            let folder = |(name, _): (&str, _)| FileInfo { path: name.to_owned(), is_dir: true, file_size: None };
            let has_files = |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some());
            more.extend(left_beside(&self.root).into_iter().filter(|(_, left)| has_files(left)).map(folder));
        }
        // Logged artifacts take precedence over others of the same name.
        more.retain(|file| files.iter().all(|logged| logged.path != file.path));
        files.append(&mut more);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn list_logged(&self) -> Result<Vec<FileInfo>> {
        let folder = match self.logged() {
            Ok(path) if path.is_dir() => path,
            Ok(_) | Err(TrackingError::Missing(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(TrackingError::io(&folder))? {
            let path = entry.map_err(TrackingError::io(&folder))?.path();
            let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
            // A broken link is not an artifact; an unfinished upload is not one yet.
            let Ok(metadata) = path.metadata() else { continue };
            if !name.starts_with(PARTIAL) {
                let is_dir = metadata.is_dir();
                files.push(FileInfo { path: name, is_dir, file_size: (!is_dir).then_some(metadata.len()) });
            }
        }
        Ok(files)
    }

    /// Whether files here are only replaced, never written in place. Then a hard link to them is as good as a copy.
    #[must_use]
    pub fn may_be_linked(&self) -> bool {
        self.keeper != Keeper::Step
    }

    fn inside_of(&self, root: &Path, path: &Path) -> Result<()> {
        if path.starts_with(root) {
            return Ok(());
        }
        let message = format!("Invalid path: '{}' is outside the artifact folder", self.inside.display());
        Err(TrackingError::Invalid(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(root: &Path, inside: &str) -> Place {
        Place { root: root.to_owned(), inside: check(inside).unwrap(), keeper: Keeper::Server }
    }

    #[test]
    fn paths_that_could_escape_are_refused() {
        let bad = [
            "..",
            "../x",
            "a/../../x",
            "/etc/passwd",
            "C:/x",
            "a\\b",
            "a\0b",
            "%2e%2e/x",
            "a/%2E./x",
            "a%2fb",
            "%252e",
            ".amlrun-part-1-2",
        ];
        for path in bad {
            assert!(check(path).unwrap_err().to_string().starts_with("Invalid path"), "{path}");
        }
        assert_eq!(check("1/r/artifacts//a b/./ä.txt").unwrap(), Path::new("1/r/artifacts/a b/ä.txt"));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_refused_for_reading_writing_and_listing() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        place(&root, "link/secret").existing().unwrap_err();
        place(&root, "link/new").for_writing().unwrap_err();
        place(&root, "link/deep/new").for_writing().unwrap_err();
        place(&root, "link").list().unwrap_err();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn sealed_places_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = Place { keeper: Keeper::Nobody, ..place(folder.path(), "x") };
        assert!(sealed.for_writing().unwrap_err().to_string().contains("sealed"));
    }

    proptest! {
        #[test]
        fn no_checked_path_ever_leaves(path in "[./a%2eEfF\\\\]{0,24}") {
            if let Ok(checked) = check(&path) {
                use std::path::Component::Normal;
                prop_assert!(checked.components().all(|part| matches!(part, Normal(_))));
            }
        }
    }
}
