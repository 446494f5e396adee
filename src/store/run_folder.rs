//! The folders of a run and of its steps, below `.amlrun/runs/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::id::RunName;

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// The run.
    pub name: RunName,
    /// Its folder.
    pub path: PathBuf,
}

impl RunFolder {
    /// The record of what happened.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// The workspace that it is in.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(&self.path)
    }

    /// The job file as it was submitted.
    #[must_use]
    pub fn job_file(&self) -> PathBuf {
        self.path.join("job.yml")
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// The folder for artifacts of the job's own MLflow run.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// A step's folder.
    #[must_use]
    pub fn step(&self, step: &str) -> StepFolder {
        StepFolder { path: self.path.join("steps").join(step) }
    }

    /// The variable (name and value) that every process of this run has in its environment, and no process of another
    /// run. The value is the folder, because two workspaces may have runs of the same name.
    #[must_use]
    pub fn marker(&self) -> (String, String) {
        let folder = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        ("AMLRUN_RUN_FOLDER".to_owned(), folder.display().to_string())
    }

    /// Whether its runner died before it recorded anything.
    #[must_use]
    pub fn never_began(&self) -> bool {
        let has_steps = || fs::read_dir(self.path.join("steps")).is_ok_and(|mut steps| steps.next().is_some());
        let has_record = fs::metadata(self.events()).is_ok_and(|record| record.len() > 0);
        // After a power failure the record may be empty, but the logs still belong to a run.
        self.path.is_dir() && !has_record && !has_steps() && !self.is_live()
    }

    /// Whether the runner of this run is alive: it holds a lock on the record as long as it lives.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let Ok(file) = File::open(self.events()) else { return false };
        match file.try_lock_shared() {
            Ok(()) => {
                let _ = file.unlock();
                false
            }
            Err(_) => true,
        }
    }
}

/// The folder of one step of a run.
#[derive(Clone, Debug)]
pub struct StepFolder {
    /// The folder.
    pub path: PathBuf,
}

impl StepFolder {
    /// The step's working directory.
    #[must_use]
    pub fn wd(&self) -> PathBuf {
        self.path.join("wd")
    }

    /// The folder of the step's logs.
    #[must_use]
    pub fn user_logs(&self) -> PathBuf {
        self.path.join("user_logs")
    }

    /// The output of the step's process, stdout and stderr in order.
    #[must_use]
    pub fn std_log(&self) -> PathBuf {
        self.user_logs().join("std_log.txt")
    }

    /// The step's staged inputs: private copies, and links for names that a shell would split.
    #[must_use]
    pub fn inputs(&self) -> PathBuf {
        self.path.join("inputs")
    }

    /// What the step logs through MLflow.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }
}
