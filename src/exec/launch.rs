//! What an executor is asked to run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

/// A log is cut at this size unless a launch says otherwise.
pub const LOG_LIMIT: u64 = 256 << 20;

/// A command to run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The text that the shell gets.
    pub command: String,
    /// The working directory.
    pub cwd: PathBuf,
    /// Variables on top of the runner's own.
    pub variables: Vec<(String, String)>,
    /// Variables of the runner's own that it shall not see.
    pub hidden: Arc<[String]>,
    /// Paths that it must not be able to write to, where the kernel gives a process a view of the file system of its own.
    pub read_only: Vec<PathBuf>,
    /// One of them that no other launch has with this value: by it processes that ran away are known.
    pub marker: (String, String),
    /// The processes that run it, each with variables of its own: one, unless it is distributed.
    pub processes: Vec<RankProcess>,
    /// What starts them.
    pub launcher: Launcher,
    /// How many bytes of what a process prints its log keeps from the beginning.
    pub log_limit: u64,
    /// What must not be seen of what it prints.
    pub secrets: Arc<[Secret]>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How long it has between TERM and KILL.
    pub grace: Duration,
}

/// What starts the processes of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Launcher {
    /// The runner itself, each in bash.
    #[default]
    Bash,
    /// `mpirun`, which is the launch's only process to the runner and starts the ranks.
    Mpirun {
        /// How many ranks.
        ranks: u32,
        /// How many of them count as one node.
        per_node: u32,
    },
}

/// One of the processes that run a step's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankProcess {
    /// What tells it from the others, such as `rank 1`; nothing when it is the only one.
    pub label: Option<String>,
    /// Variables for it alone, on top of the launch's.
    pub variables: Vec<(String, String)>,
    /// The file that gets what it prints.
    pub log: PathBuf,
    /// Whether it only serves the others: it is ended when they have ended well.
    pub serves: bool,
}

impl RankProcess {
    /// The only process of a step.
    #[must_use]
    pub fn only(log: PathBuf) -> Self {
        Self { label: None, variables: Vec::new(), log, serves: false }
    }
}
