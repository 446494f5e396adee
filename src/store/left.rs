//! What a job leaves of itself beside its outputs: `outputs/` and `logs/` of its working directory, `user_logs/`, and what
//! it logs through MLflow. On Azure ML all of it is one tree, the job's artifacts; here each has a folder of its own.

use std::path::{Path, PathBuf};

use super::StepFolder;

/// The folders that belong to the artifacts of a job, by their names there. `artifacts` is where its MLflow run keeps what
/// is logged: in the folder of its step, or, of a job that is no pipeline, in that of its run.
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

/// The step of a job that is no pipeline.
fn only_step(steps: &Path) -> Option<PathBuf> {
    let mut all = std::fs::read_dir(steps).ok()?.flatten().map(|entry| entry.path());
    let only = all.next().filter(|step| step.ends_with("main"))?;
    all.next().is_none().then_some(only)
}
