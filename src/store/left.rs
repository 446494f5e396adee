//! The artifacts of a job beside its outputs: `outputs/` and `logs/` of its working directory, `user_logs/`, and what
//! it logs with MLflow. On Azure ML all of this is one tree; here each part has its own folder.

use std::path::{Path, PathBuf};

use super::StepFolder;

/// The folders that belong to the artifacts of a job, by their names in the tree. `artifacts` is the folder of its
/// MLflow run: in the folder of its step, or, for a job that is not a pipeline, in the folder of its run.
#[must_use]
pub fn left_beside(artifacts: &Path) -> Vec<(&'static str, PathBuf)> {
    let Some(folder) = artifacts.parent() else { return Vec::new() };
    let step = |path: PathBuf| StepFolder { path };
    let step = match only_step(&folder.join("steps")) {
        Some(only) => step(only),
        None => step(folder.to_owned()),
    };
    let all =
        [("outputs", step.wd().join("outputs")), ("logs", step.wd().join("logs")), ("user_logs", step.user_logs())];
    all.into_iter().filter(|(_, folder)| folder.is_dir()).collect()
}

/// The only step of a job that is not a pipeline.
fn only_step(steps: &Path) -> Option<PathBuf> {
    let mut all = std::fs::read_dir(steps).ok()?.flatten().map(|entry| entry.path());
    let only = all.next().filter(|step| step.ends_with("main"))?;
    all.next().is_none().then_some(only)
}
