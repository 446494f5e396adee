//! Why an environment could not be built.

/// Why an environment could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No Python of the wanted version was found, and nothing that could install one.
    #[error(
        "no Python {wanted} was found on PATH or under pyenv; install it, or install uv (pip install uv), which can \
         download it"
    )]
    NoPython {
        /// The versions that fit.
        wanted: String,
    },
    /// Packages are needed that only conda has, and no conda tool was found.
    #[error(
        "PyPI does not have {packages}: install micromamba, mamba or conda, which must be on PATH, or leave them out of \
         the conda file"
    )]
    NoConda {
        /// The packages.
        packages: String,
    },
    /// A package could not be fetched because the network did not answer.
    #[error("the package index cannot be reached: {why} (log: {log})")]
    Offline {
        /// The line that says so.
        why: String,
        /// The log of the build.
        log: String,
    },
    /// The resolver or an installer refused.
    #[error("{why} (log: {log})")]
    Failed {
        /// What it printed.
        why: String,
        /// The log of the build.
        log: String,
    },
    /// There is no space left for it.
    #[error("the disk is full: {folder} needs more space")]
    DiskFull {
        /// Its folder.
        folder: String,
    },
    /// The run was asked to stop.
    #[error("the build was stopped")]
    Stopped,
    /// Its packages were changed, and another run uses it.
    #[error(
        "its packages were changed after it was built, and another run still uses it: run this again when that has ended"
    )]
    InUse,
    /// The folder of the environment cannot be used.
    #[error("{0}")]
    Io(String),
}
