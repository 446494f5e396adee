//! Runs the command of one step: an executor gets a [`Launch`] and returns how it [`Ended`].
//!
//! [`process`] runs it on this machine; other places are other executors behind the same trait. Supervision
//! (process group, TERM, grace period, KILL, reaping, timeout, capture of the output) exists once, in [`supervise`].
//! [`ranks`] defines the processes of a distributed step. The [`watchdog`] is a second process that ends the steps of
//! a runner that was killed. This module knows no plan, no store and no journal. The engine calls it.

pub mod ask;
mod capture;
mod cleanups;
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
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::handle::Handle;

pub use cleanups::Cleanup;
pub use launch::{Access, LOG_LIMIT, Launch, Launcher, Mount, RankProcess};
pub use ranks::Distribution;

/// How a launch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How; for several processes, how the first one failed.
    pub ending: Ending,
    /// Which of several processes failed, such as `rank 1`.
    pub process: Option<String>,
    /// Problems that did not stop it: a log that could not be written, or was truncated.
    pub warnings: Vec<String>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With that exit code.
    Exited(i32),
    /// With 127, and the shell printed which command it could not find.
    CommandNotFound(String),
    /// By that signal.
    Signaled(i32),
    /// By SIGKILL, while the kernel counted a process that it killed because it ran out of memory.
    OutOfMemory,
    /// It reached its timeout and was stopped.
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

/// Whether work is to stop, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Do not stop.
    #[default]
    None,
    /// Graceful: TERM first, KILL after the grace period.
    Graceful,
    /// Forced: KILL at once.
    Forced,
}

/// Signals a request to stop to a launch.
pub type StopWatch = watch::Receiver<Stop>;

/// What a command prints, as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A line, without its line break.
    Line(String),
    /// The current state of a line that is being redrawn: a progress bar. Not every state is passed on.
    Progress(String),
}

/// Receives what a command prints.
pub type LineSink = Arc<dyn Fn(Shown) + Send + Sync>;

/// Receives what happens to a launch.
#[derive(Clone)]
pub struct Observer {
    /// Called once, when all processes of the launch have started and before the first line.
    pub started: Arc<dyn Fn(Handle) + Send + Sync>,
    /// Receives what the processes print.
    pub lines: LineSink,
}

/// A launch that is running. It is boxed, so that each step of a run can have another executor.
pub type Running<'a> = Pin<Box<dyn Future<Output = Ended> + Send + 'a>>;

/// Runs commands.
pub trait Executor: Send + Sync {
    /// Runs one command to its end, or until `stop` requests a stop. When the future is done, no process of it is
    /// left.
    fn run(&self, launch: Launch, observer: Observer, stop: StopWatch) -> Running<'_>;
}
