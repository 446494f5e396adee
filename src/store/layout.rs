//! The paths of everything under `.amlrun/`.
//!
//! ```text
//! .amlrun/                       ignores itself in git
//!   registry.db  tracking.db
//!   runs/<run>/                  job.yml, plan.json, events.jsonl (the record)
//!     steps/<step>/              wd/ (outputs/, logs/), user_logs/std_log.txt once it printed something
//!     artifacts/                 what the job's own MLflow run logs
//!   store/v1/<run>.<step>.<output>/   outputs at their final address; the run's record lists them
//!   logs/v1/<job>/               logs of deleted runs whose results others use
//!   reuse/v1/                    cache keys of earlier results, and the stat cache of inputs and code
//!   datastores/<name>/           folders that replace datastores
//!   datastores/<name>.json       definitions of datastores; credentials are outside the workspace
//!   data/                        sealed copies of registered data
//!   downloads/v1/                the cache of remote data, shared by all pipelines
//!   components/v1/               registered components
//!   environments/v1/             registered environments
//!   overlays/                    virtual environments of running steps that install packages
//!   models/                      sealed copies of models registered through MLflow
//! ```

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::run_folder::RunFolder;
use super::shell_word::shell_safe;
use super::{StoreError, at};
use crate::again::amlrun;
use crate::diagnostic::suggest;
use crate::fs::atomic::Temporary;
use crate::id::RunName;

/// A workspace's folder.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Finds the workspace for something at `near`: `.amlrun` beside the nearest `amlrun.toml` or `.git` above it,
    /// otherwise in the current folder. `AMLRUN_HOME` (given as `chosen`) overrides this.
    #[must_use]
    pub fn locate(chosen: Option<&Path>, near: &Path) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        if let Some(root) = chosen {
            return Self { root: here.join(root) };
        }
        let start = here.join(near);
        let marked = start.ancestors().find(|f| f.join("amlrun.toml").is_file() || f.join(".git").exists());
        Self { root: marked.unwrap_or(&here).join(".amlrun") }
    }

    /// Checks that this amlrun knows all permanent data of the workspace. Caches, such as reusable results, may have
    /// other versions beside.
    ///
    /// # Errors
    /// [`StoreError::Newer`].
    pub fn check(&self) -> Result<(), StoreError> {
        for kept in ["store", "components", "environments"] {
            for entry in fs::read_dir(self.root.join(kept)).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let version = name.to_str().and_then(|name| name.strip_prefix('v')?.parse::<u32>().ok());
                if version.is_some_and(|version| version > 1) {
                    return Err(StoreError::Newer { path: entry.path() });
                }
            }
        }
        Ok(())
    }

    /// Makes the folder if needed, and makes git ignore it.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to a newer amlrun.
    pub fn create(&self) -> Result<(), StoreError> {
        self.check()?;
        for folder in [self.root.join("runs"), self.root.join("store/v1")] {
            fs::create_dir_all(&folder).map_err(at("create the folder", &folder))?;
        }
        self.close()?;
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(at("write", &ignore))?;
        }
        Ok(())
    }

    /// Closes the folder to other users, whoever made it: plans and job files contain variables of steps, which may
    /// be secrets.
    fn close(&self) -> Result<(), StoreError> {
        use std::os::unix::fs::PermissionsExt as _;
        let mut permissions = fs::metadata(&self.root).map_err(at("read", &self.root))?.permissions();
        if permissions.mode() & 0o077 == 0 {
            return Ok(());
        }
        permissions.set_mode(0o700);
        match fs::set_permissions(&self.root, permissions) {
            // The folder belongs to another user. Files that may contain secrets are readable only by their owner
            // anyway.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
            closed => closed.map_err(at("restrict access to", &self.root)),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same folder by a path that a shell does not split. Commands get paths as plain text (reference, section
    /// 4.3). On Azure ML no mount path contains a space; here your folder may. Then steps see the workspace through a
    /// link in the folder for temporary files.
    ///
    /// # Errors
    /// When the link is needed and cannot be made.
    pub fn for_shells(&self) -> Result<Home, StoreError> {
        if shell_safe(&self.root) {
            return Ok(self.clone());
        }
        let digest = blake3::hash(self.root.as_os_str().as_encoded_bytes()).to_hex();
        for attempt in 0..16 {
            let folder = Some(std::env::temp_dir()).filter(|f| shell_safe(f)).unwrap_or_else(|| "/tmp".into());
            let link = folder.join(format!("amlrun-{}-{attempt}", &digest[..16]));
            match fs::read_link(&link) {
                // Another user could redirect their link at any time.
                Ok(target) if target == self.root && same_owner(&link, &self.root) => return Ok(Home { root: link }),
                Ok(_) => {}
                Err(_) =>
                {
                    #[cfg(unix)]
                    if std::os::unix::fs::symlink(&self.root, &link).is_ok() {
                        return Ok(Home { root: link });
                    }
                }
            }
        }
        let source = std::io::Error::other("no unused name in the folder for temporary files");
        Err(StoreError::Io { what: "create a link without spaces to", path: self.root.clone(), source })
    }

    /// The registry's database.
    #[must_use]
    pub fn registry_db(&self) -> PathBuf {
        self.root.join("registry.db")
    }

    /// The tracking store's database.
    #[must_use]
    pub fn tracking_db(&self) -> PathBuf {
        self.root.join("tracking.db")
    }

    /// Where models registered through MLflow's REST API are kept.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The folder for artifacts of MLflow runs that no job made.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// The folder of an output; each attempt of a step has its own.
    #[must_use]
    pub fn output(&self, run: &RunName, step: &str, output: &str, attempt: u32) -> PathBuf {
        let again = if attempt > 1 { format!("~{attempt}") } else { String::new() };
        self.outputs().join(format!("{run}.{step}.{output}{again}"))
    }

    /// The folder of all outputs.
    #[must_use]
    pub fn outputs(&self) -> PathBuf {
        self.root.join("store/v1")
    }

    /// The folder for the logs of a step whose run was deleted while others use its result.
    #[must_use]
    pub fn kept_log(&self, job: &str) -> PathBuf {
        self.kept_logs().join(job)
    }

    /// The folder of all these logs.
    #[must_use]
    pub fn kept_logs(&self) -> PathBuf {
        self.root.join("logs/v1")
    }

    /// The cache of earlier results.
    #[must_use]
    pub fn reuse(&self) -> PathBuf {
        self.root.join("reuse/v1")
    }

    /// The folder that replaces a datastore of Azure ML.
    #[must_use]
    pub fn datastore(&self, name: &str) -> PathBuf {
        self.datastores().join(name)
    }

    /// The folder for definitions of datastores and for the folders that replace datastores.
    #[must_use]
    pub fn datastores(&self) -> PathBuf {
        self.root.join("datastores")
    }

    /// The folder for protected copies of registered data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The cache of downloaded remote data.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads/v1")
    }

    /// The folder for registered components.
    #[must_use]
    pub fn components(&self) -> PathBuf {
        self.root.join("components/v1")
    }

    /// The folder for registered environments.
    #[must_use]
    pub fn environments(&self) -> PathBuf {
        self.root.join("environments/v1")
    }

    /// Programs by names that exist in Azure ML's images and not on this machine.
    #[must_use]
    pub fn shims(&self) -> PathBuf {
        self.root.join("shims")
    }

    /// Virtual environments of steps that install packages, as long as they run.
    #[must_use]
    pub fn overlays(&self) -> PathBuf {
        self.root.join("overlays")
    }

    /// A run's folder, whether it exists or not.
    #[must_use]
    pub fn run(&self, name: &RunName) -> RunFolder {
        RunFolder { path: self.root.join("runs").join(name.as_str()), name: name.clone() }
    }

    /// Makes the folder of a new run with its record, empty and locked. Two runners cannot get the same one, because
    /// it is made under another name and then renamed. A name is free again if its runner died before it recorded
    /// anything.
    ///
    /// # Errors
    /// [`StoreError::RunExists`] when the name is taken.
    pub fn create_run(&self, name: &RunName) -> Result<(RunFolder, File), StoreError> {
        let run = self.run(name);
        let new = Temporary::beside(&run.path);
        let fresh = RunFolder { path: new.path().to_owned(), name: name.clone() };
        let steps = fresh.path.join("steps");
        fs::create_dir_all(&steps).map_err(at("create the folder", &steps))?;
        let placed =
            File::options().append(true).create_new(true).mode(0o600).open(fresh.events()).and_then(|record| {
                record.try_lock()?;
                Ok(record)
            });
        let placed = placed.map_err(at("make", &fresh.events())).and_then(|record| {
            if run.never_began() {
                let old = Temporary::beside(&run.path);
                let _ = fs::rename(&run.path, old.path());
                let aside = RunFolder { path: old.path().to_owned(), name: name.clone() };
                // Another runner may have made a run of that name meanwhile. It gets its name back, and must stay.
                if !aside.never_began() && old.place_at(&run.path).is_err() {
                    old.keep();
                }
            }
            match new.place() {
                Ok(()) => Ok(record),
                Err(_) if run.path.exists() => Err(StoreError::RunExists(name.to_string())),
                Err(e) => Err(at("create the folder", &run.path)(e)),
            }
        });
        placed.map(|record| (run, record))
    }

    /// A lock: shared while something is copied into the workspace and then registered, exclusive while copies that
    /// were never registered are removed.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn copying(&self) -> Result<File, StoreError> {
        let path = self.root.join("copying.lock");
        File::options().create(true).append(true).open(&path).map_err(at("make", &path))
    }

    /// The folder of an existing run.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`], with a similar name.
    pub fn find_run(&self, name: &str) -> Result<RunFolder, StoreError> {
        self.check()?;
        if let Ok(parsed) = RunName::parse(name) {
            let run = self.run(&parsed);
            if run.path.is_dir() {
                return Ok(run);
            }
        }
        let runs = self.runs()?;
        let near = suggest::nearest(name, runs.iter().map(|r| r.name.as_str()));
        let hint = match near {
            Some(near) => format!("; did you mean '{near}'?"),
            None => format!(" in this workspace; list the runs: {}", amlrun("job list")),
        };
        Err(StoreError::NoSuchRun { name: name.to_owned(), hint })
    }

    /// All runs of the workspace, in no particular order.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<RunFolder>, StoreError> {
        self.check()?;
        let folder = self.root.join("runs");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(at("list", &folder)(e)),
        };
        let names = entries.filter_map(|e| RunName::parse(e.ok()?.file_name().to_str()?).ok());
        Ok(names.map(|name| self.run(&name)).collect())
    }
}

fn same_owner(link: &Path, folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let owner = |metadata: std::io::Result<fs::Metadata>| metadata.map(|m| m.uid()).ok();
    owner(fs::symlink_metadata(link)).is_some_and(|uid| owner(fs::metadata(folder)) == Some(uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_lies_beside_the_nearest_marker() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(root.path().join("amlrun.toml"), "").unwrap();
        assert_eq!(Home::locate(None, &deep).root(), root.path().join(".amlrun"));
        assert_eq!(Home::locate(Some(Path::new("/x")), &deep).root(), Path::new("/x"));
    }

    #[test]
    fn a_name_is_given_to_one_run_only() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(root.path()), root.path());
        home.create().unwrap();
        let name = RunName::parse("first").unwrap();
        let (run, record) = home.create_run(&name).unwrap();
        assert!(matches!(home.create_run(&name), Err(StoreError::RunExists(_))), "its runner lives");
        drop(record);
        // The runner died before it recorded anything.
        let (_, record) = home.create_run(&name).unwrap();
        fs::remove_file(run.events()).unwrap();
        drop(record);
        let (_, mut record) = home.create_run(&name).unwrap();
        std::io::Write::write_all(&mut record, b"{}\n").unwrap();
        drop(record);
        assert!(matches!(home.create_run(&name), Err(StoreError::RunExists(_))));
        assert_eq!(fs::read_dir(root.path().join("runs")).unwrap().count(), 1, "nothing is left of what was tried");
        let error = home.find_run("frist").unwrap_err().to_string();
        assert!(error.contains("did you mean 'first'"), "{error}");
    }

    #[test]
    fn a_folder_with_a_space_is_seen_through_a_link() {
        let root = tempfile::tempdir().unwrap();
        let home = Home { root: root.path().join("my work/.amlrun") };
        home.create().unwrap();
        let seen = home.for_shells().unwrap();
        assert!(shell_safe(seen.root()));
        assert_eq!(seen.root().canonicalize().unwrap(), home.root().canonicalize().unwrap());
        assert_eq!(home.for_shells().unwrap().root(), seen.root(), "the link is made once");
        fs::remove_file(seen.root()).unwrap();
    }
}
