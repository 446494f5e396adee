//! Moving bytes between this machine and remote places: fast, checked, and not to be broken by a network.
//!
//! A [`Transfer`] is what all movement of one command shares: how many requests may be under way ([`gauge`], which finds
//! that out by itself), how long trouble is borne ([`patience`]), what has been moved ([`progress`]) and whether somebody
//! wants it to stop. [`receive`] and [`send`] move one file, in blocks when it is large; [`folder`] moves many. What was
//! fetched is kept by [`cache`], once for all pipelines; [`look`] tells files from folders. [`http`] is the client that every request goes through, [`web`]
//! the remote place that any web server is.
//!
//! The rules: memory does not grow with files; a file appears under its name whole and checked or not at all; a transfer
//! that was broken off goes on where it was; what is there already is not moved again.
//!
//! This room knows [`Remote`](crate::store::remote::Remote) places and local paths. It refuses to know what data mean, who
//! may read them, and Azure.

pub mod cache;
pub mod checksum;
mod compare;
pub mod folder;
pub mod gauge;
pub mod http;
pub mod look;
mod partial;
pub mod patience;
pub mod progress;
pub mod receive;
pub mod send;
mod task;
pub mod web;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, watch};

use crate::store::remote::Trouble;
use gauge::Gauge;
pub use partial::is_unfinished;
use progress::Progress;

/// The size of the blocks in which large files are sent, in bytes.
pub const BLOCK: u64 = 8 << 20;
/// The size of the parts in which they are fetched: the most for which Azure gives a checksum with what is read.
pub const PART: u64 = 4 << 20;
/// So many blocks are held in memory at once.
const BLOCKS_IN_MEMORY: usize = 8;
/// So many large files are moved at once: more would only spread the same blocks over more files.
const LARGE_FILES: usize = 3;

/// What bounds a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many requests may be under way; found out by measuring when nobody says.
    pub jobs: Option<usize>,
    /// A request that moves next to nothing for so long is given up, and tried again.
    pub stall: Duration,
    /// So long trouble of the network or the server is borne before a transfer fails.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { jobs: None, stall: Duration::from_secs(30), patience: Duration::from_secs(120) }
    }
}

/// What all movement of one command shares. Copies share it, too.
#[derive(Clone)]
pub struct Transfer {
    /// What bounds it.
    pub limits: Limits,
    /// What has been moved.
    pub progress: Arc<Progress>,
    gauge: Arc<Gauge>,
    memory: Arc<Semaphore>,
    /// Memory for blocks that has been used and can be again: fresh memory costs as much as the copy into it.
    spare: Arc<Mutex<Vec<BytesMut>>>,
    large: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Transfer {
    /// A transfer that ends when `stop` becomes true.
    #[must_use]
    pub fn new(limits: Limits, stop: watch::Receiver<bool>) -> Self {
        Self {
            gauge: Arc::new(Gauge::new(limits.jobs)),
            memory: Arc::new(Semaphore::new(BLOCKS_IN_MEMORY)),
            spare: Arc::default(),
            large: Arc::new(Semaphore::new(LARGE_FILES)),
            progress: Arc::new(Progress::default()),
            limits,
            stop,
        }
    }

    /// The same with figures of its own, which count for `whole`, too.
    #[must_use]
    pub fn counted_within(&self, whole: &Arc<Progress>) -> Self {
        Self { progress: Arc::new(Progress::within(whole.clone())), ..self.clone() }
    }

    /// Memory for a block of so many bytes.
    fn block(&self, length: u64) -> BytesMut {
        let mut block = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        block.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        block
    }

    /// The memory of a block that nobody holds any more is used again.
    fn give_back(&self, block: Bytes) {
        if let Ok(block) = block.try_into_mut() {
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(block);
        }
    }

    /// Does the work unless somebody asks to stop, which ends it where it is.
    ///
    /// # Errors
    /// Those of the work, and [`Trouble::Stopped`].
    pub async fn until_stopped<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            // When nobody is left who could ask, nobody asks.
            Ok(_) = stop.wait_for(|stop| *stop) => Err(Trouble::Stopped),
            done = work => done,
        }
    }
}

/// The threads on which bytes are moved: apart from those of a run, so that neither waits for the other.
///
/// # Errors
/// When the system has no more threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 4))
        .thread_name("transfer")
        .enable_all()
        .build()
}

/// What the system said of a local file, as trouble that does not pass.
pub(crate) fn local(what: &str, path: &std::path::Path, error: &std::io::Error) -> Trouble {
    Trouble::Final(format!("cannot {what} {}: {error}", path.display()))
}
