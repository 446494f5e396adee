//! The input of an executor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

/// The size at which a log is truncated, unless a launch says otherwise.
pub const LOG_LIMIT: u64 = 256 << 20;

/// A command to run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The text for the shell.
    pub command: String,
    /// The working directory.
    pub cwd: PathBuf,
    /// Variables in addition to the runner's own.
    pub variables: Vec<(String, String)>,
    /// Variables of the runner that it must not see.
    pub hidden: Arc<[String]>,
    /// The files and folders that it works with. It sees them under the same paths as the runner. A container has
    /// only these and those of its image; a process of this machine has all files, and only restrictions apply to it.
    pub mounts: Vec<Mount>,
    /// A variable with a value that no other launch has. It identifies processes that left their group.
    pub marker: (String, String),
    /// The processes that run it, each with its own variables. There is one, unless the step is distributed.
    pub processes: Vec<RankProcess>,
    /// What starts them.
    pub launcher: Launcher,
    /// How many bytes of a process's output its log keeps from the beginning.
    pub log_limit: u64,
    /// The texts to mask in its output.
    pub secrets: Arc<[Secret]>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// The grace period between TERM and KILL.
    pub grace: Duration,
}

/// A file or folder of this machine that a launch works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its real path.
    pub path: PathBuf,
    /// What the launch may do with it.
    pub access: Access,
}

/// What a launch may do with a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it. Without a container this is enforced where the kernel can give a process its own view of the file
    /// system.
    Read,
    /// Read it. Without a container its files themselves are protected.
    Sealed,
    /// Read and write it.
    Write,
}

impl Launch {
    /// The paths that it must not be able to write to.
    #[must_use]
    pub fn read_only(&self) -> Vec<PathBuf> {
        let read_only = self.mounts.iter().filter(|mount| mount.access == Access::Read);
        read_only.map(|mount| mount.path.clone()).collect()
    }
}

/// What starts the processes of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Launcher {
    /// The runner itself, each process in bash.
    #[default]
    Bash,
    /// `mpirun`, which starts the ranks. It is the launch's only process for the runner.
    Mpirun {
        /// The number of ranks.
        ranks: u32,
        /// The number of ranks that count as one node.
        per_node: u32,
    },
}

/// One of the processes that run a step's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankProcess {
    /// Its label, such as `rank 1`; `None` if it is the only process.
    pub label: Option<String>,
    /// Variables for it alone, in addition to the launch's.
    pub variables: Vec<(String, String)>,
    /// The log file for its output.
    pub log: PathBuf,
    /// Whether it only serves the others, such as a parameter server. It is ended when the others have succeeded.
    pub serves: bool,
}

impl RankProcess {
    /// The only process of a step.
    #[must_use]
    pub fn only(log: PathBuf) -> Self {
        Self { label: None, variables: Vec::new(), log, serves: false }
    }
}
