//! Running one step's command: an executor gets a [`Launch`] and answers with how it [`Ended`].
//!
//! [`process`] runs it on this machine; containers will be a second executor behind the same trait. Supervision (own
//! process group, TERM, grace, KILL, reaping, timeout, capture of what is printed) exists once, in [`supervise`],
//! whoever asks. A step of several processes is laid out by [`ranks`]. [`guard`] is a second process that ends what a
//! runner leaves that is killed itself. This room knows words only: no plan, no store, no journal. The engine calls it.

pub mod ask;
mod capture;
pub mod guard;
mod log;
mod mask;
mod memory;
pub mod process;
pub mod ranks;
pub mod read_only;
mod strays;
pub mod supervise;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use ranks::{Distribution, RankProcess};

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
    pub mark: (String, String),
    /// The processes that run it, each with variables of its own: one, unless it is distributed.
    pub processes: Vec<RankProcess>,
    /// What starts them.
    pub starter: Starter,
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
pub enum Starter {
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

/// How a launch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How; of several processes, how the first one that failed did.
    pub ending: Ending,
    /// Which of several processes that was, such as `rank 1`.
    pub process: Option<String>,
    /// What went wrong that did not stop it: a log that could not be written, or was cut.
    pub warnings: Vec<String>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With that code.
    Exited(i32),
    /// With 127, and the shell said which command it did not find.
    CommandNotFound(String),
    /// By that signal.
    Signaled(i32),
    /// By SIGKILL, while the kernel counted a process that it killed because memory was short.
    OutOfMemory,
    /// Its time ran out and it was stopped.
    TimedOut(Duration),
    /// It was stopped on request.
    Stopped,
    /// It never ran.
    NotStarted(String),
}

impl From<Ending> for Ended {
    fn from(ending: Ending) -> Self {
        Self { ending, process: None, warnings: Vec::new() }
    }
}

/// Whether work shall go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It shall.
    #[default]
    No,
    /// Stop: TERM first, KILL after the grace time.
    Gently,
    /// Stop at once: KILL.
    Now,
}

/// Where a launch learns that it shall stop.
pub type StopWatch = watch::Receiver<Stop>;

/// What a command prints, as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A line, without its line break.
    Line(String),
    /// How a line stands that is redrawn and has not ended yet: a progress bar. Not every state of it is told.
    Progress(String),
}

/// Gets what a command prints.
pub type LineSink = Arc<dyn Fn(Shown) + Send + Sync>;

/// Something that runs commands.
pub trait Executor: Send + Sync + 'static {
    /// Runs one command to its end, or until `stop` says so. No process of it is left when the future is done.
    fn run(&self, launch: Launch, lines: LineSink, stop: StopWatch) -> impl Future<Output = Ended> + Send;
}
