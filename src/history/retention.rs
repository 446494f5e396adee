//! Decides what may be removed of a run, and removes it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::find;
use super::record;
use crate::again::amlrun;
use crate::error::Failed;
use crate::event::RunView;
use crate::registry::AssetKind;
use crate::reuse::Reuse;
use crate::store::{Home, RunFolder, at, kept_log};
use crate::tracking::Tracking;

/// The file in a run's folder that hides the run in lists.
const ARCHIVED: &str = "archived";

/// Whether a run is archived.
pub(crate) fn is_archived(run: &RunFolder) -> bool {
    run.path.join(ARCHIVED).exists()
}

/// Hides a run in lists, or shows it again.
pub(crate) fn archive(run: &RunFolder, yes: bool) -> Result<(), Failed> {
    let mark = run.path.join(ARCHIVED);
    if yes {
        std::fs::write(&mark, "").map_err(at("write", &mark))?;
    } else if mark.exists() {
        std::fs::remove_file(&mark).map_err(at("remove", &mark))?;
    }
    Ok(())
}

/// Removes a run and what it wrote, except outputs that assets or other runs refer to. Returns those outputs.
///
/// # Errors
/// When the run was not found, is still running, or something cannot be removed.
pub(crate) fn delete(home: &Home, name: &str) -> Result<Vec<PathBuf>, Failed> {
    // Only the full name: the intended run may be gone already, and another run's name may have the same prefix.
    let run = home.find_run(name).map_err(|missing| match find::run(home, name) {
        Ok(near) => Failed::not_found(format!("the run '{name}' was not found"))
            .hint(format!("use the full name to delete a run: {}", near.name)),
        Err(_) => missing.into(),
    })?;
    if run.is_live() {
        return Err(Failed::new(format!("the run '{name}' is still running"))
            .hint(format!("cancel it first: {}", amlrun(&format!("job cancel -n {name}")))));
    }
    let gone = HashSet::from([run.name.to_string()]);
    let references = References::of(home, &gone)?;
    let own = format!("{}.", run.name);
    let trees = std::fs::read_dir(home.outputs()).into_iter().flatten().flatten().map(|entry| entry.path());
    let trees = trees.filter(|tree| tree.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&own)));
    let (go, stay): (Vec<PathBuf>, Vec<PathBuf>) = trees.partition(|tree| !references.needs(tree));
    if let Some(reuse) = Reuse::open_existing(&home.reuse(), home.root())? {
        // The cache entries are removed first, so that no entry refers to files that are half removed.
        reuse.forget_paths(&go)?;
    }
    for tree in &go {
        remove_tree(tree)?;
    }
    references.keep_logs(home, &run)?;
    remove_run(home, &run)?;
    Ok(stay)
}

/// Removes what a run and its steps logged to the tracking store.
fn forget_logged(home: &Home, run: &RunFolder) -> Result<(), Failed> {
    // A run whose record cannot be read can be deleted too.
    let steps = record::view(run).map(|view| view.steps).unwrap_or_default();
    let jobs = steps.into_iter().map(|step| step.job).chain([run.name.to_string()]).collect::<Vec<_>>();
    if home.tracking_db().exists() {
        let registry = super::registry::create(home)?;
        let tracking = Tracking::open(&home.tracking_db(), registry, home.models(), home.artifacts());
        tracking.and_then(|tracking| tracking.forget(&jobs)).map_err(|e| Failed::new(e.to_string()))?;
    }
    Ok(())
}

/// Removes a run's folder and what it logged. Its record is removed last, so that an interrupted removal still shows as
/// a run.
pub(crate) fn remove_run(home: &Home, run: &RunFolder) -> Result<(), Failed> {
    forget_logged(home, run)?;
    let steps = run.path.join("steps");
    if steps.exists() {
        std::fs::remove_dir_all(&steps).map_err(at("remove", &steps))?;
    }
    std::fs::remove_dir_all(&run.path).map_err(at("remove", &run.path))?;
    Ok(())
}

/// Removes an output tree.
pub(crate) fn remove_tree(tree: &Path) -> Result<(), Failed> {
    let removed = if tree.is_dir() { std::fs::remove_dir_all(tree) } else { std::fs::remove_file(tree) };
    Ok(removed.map_err(at("remove", tree))?)
}

/// Which output trees are referred to.
pub(crate) struct References {
    /// By assets and by the records of runs.
    needed: HashSet<PathBuf>,
    /// By cache entries.
    reusable: HashSet<PathBuf>,
    /// Runs in progress: their outputs must not be touched.
    live: HashSet<String>,
    /// The job names of steps whose results are or can be reused: other runs need their logs.
    jobs: HashSet<String>,
    outputs: PathBuf,
}

impl References {
    /// Reads the registry, the cache, and the records of all runs except those in `gone`.
    pub(crate) fn of(home: &Home, gone: &HashSet<String>) -> Result<Self, Failed> {
        let outputs = home.outputs();
        let (needed, reusable) = (HashSet::new(), HashSet::new());
        let mut references = Self { needed, reusable, live: HashSet::new(), jobs: HashSet::new(), outputs };
        let mut runs = HashSet::new();
        for run in home.runs()?.into_iter().filter(|run| !gone.contains(run.name.as_str())) {
            runs.insert(run.name.to_string());
            if run.is_live() {
                references.live.insert(run.name.to_string());
            }
            // A record that cannot be read may refer to anything: its run keeps its outputs.
            match record::view(&run) {
                Ok(view) => {
                    if !view.damaged.is_empty() {
                        references.live.insert(run.name.to_string());
                        references.add_damaged(&run);
                    }
                    references.add(&view);
                }
                Err(_) => drop(references.live.insert(run.name.to_string())),
            }
        }
        if let Some(registry) = super::registry::open_existing(home)? {
            for kind in [AssetKind::Model, AssetKind::Data] {
                for asset in registry.list(kind, None)? {
                    references.needed.extend(references.tree_of(&asset.path));
                }
            }
        }
        if let Some(reuse) = Reuse::open_existing(&home.reuse(), home.root())? {
            // Outputs of a deleted run that are still referred to are removed together with the last reference.
            for entry in reuse.entries()?.into_iter().filter(|entry| entry.offered) {
                let trees: Vec<_> = entry.outputs.iter().filter_map(|kept| references.tree_of(&kept.path)).collect();
                if runs.contains(&entry.run) {
                    references.reusable.extend(trees);
                } else if trees.iter().all(|tree| references.needs(tree)) {
                    references.jobs.insert(entry.job);
                }
            }
        }
        Ok(references)
    }

    fn add(&mut self, view: &RunView) {
        for output in view.steps.iter().flat_map(|step| &step.outputs) {
            self.needed.extend(self.tree_of(&output.path));
        }
        self.jobs.extend(view.steps.iter().filter_map(|step| step.reused_from.clone()));
    }

    /// Adds every tree whose name appears in a record that cannot be read completely.
    fn add_damaged(&mut self, run: &RunFolder) {
        let bytes = std::fs::read(run.events()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let trees = std::fs::read_dir(&self.outputs).into_iter().flatten().flatten();
        let named = trees.filter(|tree| text.contains(&*tree.file_name().to_string_lossy()));
        self.needed.extend(named.map(|tree| tree.path()));
    }

    /// The output tree that a path is or is in. Older records have absolute paths, which may be in the workspace's
    /// former location.
    fn tree_of(&self, path: &Path) -> Option<PathBuf> {
        let there = path.strip_prefix(&self.outputs).ok();
        let moved = || {
            let text = path.to_str()?;
            text.rfind("/store/v1/").map(|at| Path::new(&text[at + "/store/v1/".len()..]))
        };
        Some(self.outputs.join(there.or_else(moved)?.components().next()?))
    }

    /// Whether an asset or a run refers to a tree.
    pub(crate) fn needs(&self, tree: &Path) -> bool {
        let run = tree.file_name().and_then(|name| name.to_str()?.split('.').next()).unwrap_or_default();
        self.needed.contains(tree) || self.live.contains(run)
    }

    /// Keeps the logs of steps whose results are or can be reused, before their run is removed.
    pub(crate) fn keep_logs(&self, home: &Home, run: &RunFolder) -> Result<(), Failed> {
        let Ok(view) = record::view(run) else { return Ok(()) };
        for step in view.steps.iter().filter(|step| self.jobs.contains(&step.job)) {
            kept_log::keep_logs(&run.step(&step.path).user_logs(), &home.kept_log(&step.job))?;
        }
        Ok(())
    }

    /// Kept logs that are no longer needed.
    pub(crate) fn stale_logs(&self, home: &Home) -> Vec<PathBuf> {
        let kept = std::fs::read_dir(home.kept_logs()).into_iter().flatten().flatten();
        let stale = kept.filter(|entry| !self.jobs.contains(&*entry.file_name().to_string_lossy()));
        stale.map(|entry| entry.path()).collect()
    }

    /// Whether anything refers to a tree.
    pub(crate) fn holds(&self, tree: &Path) -> bool {
        self.needs(tree) || self.reusable.contains(tree)
    }
}
