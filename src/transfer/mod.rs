//! Moves bytes between this machine and remote storage: fast, checked, and resumable after network errors.
//!
//! A [`Transfer`] is what all uploads and downloads of one command share: how many requests may run at once
//! ([`concurrency`] adapts that to the measured throughput), when to give up ([`retry`]), what has been moved
//! ([`progress`]) and whether the user asked to stop. [`receive`] and [`send`] move one file, in blocks when it is large;
//! [`folder`] moves many. [`cache`] keeps what was downloaded, once for all pipelines; [`listing`] finds the files of an
//! address. Every request goes through the client in [`http`]; [`web`] is any web server as remote storage.
//!
//! The rules: memory does not grow with files; a file appears under its name whole and checked or not at all; a transfer
//! that was interrupted resumes; files that are already there are not moved again.
//!
//! This module knows [`Remote`](crate::store::remote::Remote) storage and local paths. It knows nothing of what data
//! mean, of credentials, and of Azure.

pub mod cache;
pub mod checksum;
mod compare;
pub mod concurrency;
pub mod folder;
pub mod http;
pub mod listing;
mod partial;
pub mod progress;
pub mod receive;
pub mod retry;
pub mod send;
mod task;
pub mod web;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, watch};

use crate::store::remote::TransferError;
use concurrency::ConcurrencyLimiter;
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
    pub retry_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { jobs: None, stall: Duration::from_secs(30), retry_timeout: Duration::from_secs(120) }
    }
}

/// What all movement of one command shares. Copies share it, too.
#[derive(Clone)]
pub struct Transfer {
    /// What bounds it.
    pub limits: Limits,
    /// What has been moved.
    pub progress: Arc<Progress>,
    limiter: Arc<ConcurrencyLimiter>,
    memory: Arc<Semaphore>,
    /// Memory for blocks that has been used and can be again: fresh memory costs as much as the copy into it.
    back_off: Arc<Mutex<Vec<BytesMut>>>,
    large: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Transfer {
    /// A transfer that ends when `stop` becomes true.
    #[must_use]
    pub fn new(limits: Limits, stop: watch::Receiver<bool>) -> Self {
        Self {
            limiter: Arc::new(ConcurrencyLimiter::new(limits.jobs)),
            memory: Arc::new(Semaphore::new(BLOCKS_IN_MEMORY)),
            back_off: Arc::default(),
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
        let mut block = self.back_off.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        block.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        block
    }

    /// The memory of a block that nobody holds any more is used again.
    fn give_back(&self, block: Bytes) {
        if let Ok(block) = block.try_into_mut() {
            self.back_off.lock().unwrap_or_else(PoisonError::into_inner).push(block);
        }
    }

    /// Does the work unless somebody asks to stop, which ends it where it is.
    ///
    /// # Errors
    /// Those of the work, and [`TransferError::Stopped`].
    pub async fn until_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, TransferError>>,
    ) -> Result<T, TransferError> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            // When nobody is left who could ask, nobody asks.
            Ok(_) = stop.wait_for(|stop| *stop) => Err(TransferError::Stopped),
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
pub(crate) fn local(what: &str, path: &std::path::Path, error: &std::io::Error) -> TransferError {
    TransferError::Permanent(format!("cannot {what} {}: {error}", path.display()))
}
