//! Running one command: an executor gets a [`Launch`] and answers with an [`Ending`].
//!
//! [`process`] runs it on this machine; containers will be a second executor behind the same trait. Supervision (own
//! process group, TERM, grace, KILL, reaping, timeout, capture of what is printed) exists once, in [`supervise`],
//! whoever asks. This room knows words only: no plan, no store, no journal. The engine calls it.

pub mod output;
pub mod process;
mod strays;
pub mod supervise;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

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
    pub hidden: Vec<String>,
    /// One of them that no other launch has with this value: by it processes that ran away are known.
    pub mark: (String, String),
    /// The file that gets everything it prints.
    pub log: PathBuf,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How long it has between TERM and KILL.
    pub grace: Duration,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With that code.
    Exited(i32),
    /// By that signal.
    Signaled(i32),
    /// Its time ran out and it was stopped.
    TimedOut(Duration),
    /// It was stopped on request.
    Stopped,
    /// It never ran.
    NotStarted(String),
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

/// Gets each line that a command prints, without its line break, as it comes.
pub type LineSink = Arc<dyn Fn(String) + Send + Sync>;

/// Something that runs commands.
pub trait Executor: Send + Sync + 'static {
    /// Runs one command to its end, or until `stop` says so. No process of it is left when the future is done.
    fn run(&self, launch: Launch, lines: LineSink, stop: StopWatch) -> impl Future<Output = Ending> + Send;
}
