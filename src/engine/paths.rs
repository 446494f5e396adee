//! The paths of a run in their two forms.
//!
//! Steps get paths as plain text in their command, and a shell splits a path with spaces. So steps see such a workspace
//! through a link ([`Home::for_shells`]), while records, the registry and the results of earlier runs have real paths.

use std::path::{Path, PathBuf};

use crate::store::{Home, RunFolder, StepFolder};

/// The paths of a run.
#[derive(Clone, Debug)]
pub struct RunPaths {
    /// The run's folder, as it is recorded.
    pub real: RunFolder,
    /// The workspace, as steps see it.
    pub visible: Home,
}

/// The folder of a step.
#[derive(Clone, Debug)]
pub struct StepPaths {
    /// As it is recorded.
    pub real: StepFolder,
    /// As the step sees it.
    pub visible: StepFolder,
}

impl RunPaths {
    /// The folder of a step.
    #[must_use]
    pub fn step(&self, step: &str) -> StepPaths {
        StepPaths { real: self.real.step(step), visible: self.visible.run(&self.real.name).step(step) }
    }

    /// The folder of an output, as the step sees it. A later attempt gets its own folder, so that you can inspect what
    /// an earlier one wrote.
    #[must_use]
    pub fn output(&self, step: &str, output: &str, attempt: u32) -> PathBuf {
        self.visible.output(&self.real.name, step, output, attempt)
    }

    /// The real path of the workspace.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        self.real.workspace()
    }

    /// A recorded path, as steps see it.
    #[must_use]
    pub fn to_visible(&self, path: &Path) -> PathBuf {
        moved(path, self.workspace(), self.visible.root())
    }

    /// A path that steps see, as it is recorded.
    #[must_use]
    pub fn to_real(&self, path: &Path) -> PathBuf {
        moved(path, self.visible.root(), self.workspace())
    }
}

fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    path.strip_prefix(from).map_or_else(|_| path.to_owned(), |inner| to.join(inner))
}
