//! Runs one step's command: an executor gets a [`Launch`] and answers how it [`Ended`].
//!
//! [`process`] runs it on this machine; containers will be a second executor behind the same trait. Supervision (its own
//! process group, TERM, grace period, KILL, reaping, timeout, capture of the output) exists once, in [`supervise`].
//! A step of several processes is laid out by [`ranks`]. The [`watchdog`] is a second process that ends the steps of a
//! runner that was killed. This module knows no plan, no store and no journal. The engine calls it.

pub mod ask;
mod capture;
mod launch;
mod log;
mod mask;
mod memory;
mod orphans;
pub mod process;
pub mod ranks;
pub mod read_only;
pub mod signal;
pub mod spawn;
mod supervise;
#[cfg(test)]
mod tests;
pub mod watchdog;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use launch::{LOG_LIMIT, Launch, Launcher, RankProcess};
pub use ranks::Distribution;

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
    None,
    /// Stop: TERM first, KILL after the grace time.
    Graceful,
    /// Stop at once: KILL.
    Forced,
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
