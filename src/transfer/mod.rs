//! Moves bytes between this machine and remote storage: fast, checked, and resumable after network errors.
//!
//! A [`Transfer`] is what all uploads and downloads of one command share: how many requests may run at once
//! ([`concurrency`] adapts that to the measured throughput), when to give up ([`retry`]), what has been moved
//! ([`progress`]) and whether the user asked to stop. [`receive`] and [`send`] move one file, in blocks when it is
//! large; [`folder`] moves many. [`cache`] keeps what was downloaded, once for all pipelines; [`listing`] finds the
//! files of an address. Every request goes through the client in [`http`]; [`web`] is any web server as remote
//! storage.
//!
//! The rules: memory does not grow with files; a file appears under its name whole and checked or not at all; a
//! transfer that was interrupted resumes; files that are already there are not moved again.
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

/// The size of the blocks in which large files are uploaded, in bytes.
pub const BLOCK: u64 = 8 << 20;
/// The size of the parts in which large files are downloaded: the most for which Azure returns a checksum.
pub const PART: u64 = 4 << 20;
/// How many blocks are in memory at the same time.
const BLOCKS_IN_MEMORY: usize = 8;
/// How many large files are transferred at the same time: more would only spread the same blocks over more files.
const LARGE_FILES: usize = 3;

/// The limits of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many requests may run at the same time; `None` adapts to the measured throughput.
    pub jobs: Option<usize>,
    /// A request that transfers almost nothing for this time fails, and is retried.
    pub stall: Duration,
    /// How long transient errors are retried before a transfer fails.
    pub retry_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { jobs: None, stall: Duration::from_secs(30), retry_timeout: Duration::from_secs(120) }
    }
}

/// The state that all transfers of one command share. Copies share it, too.
#[derive(Clone)]
pub struct Transfer {
    /// The limits.
    pub limits: Limits,
    /// What has been moved.
    pub progress: Arc<Progress>,
    limiter: Arc<ConcurrencyLimiter>,
    memory: Arc<Semaphore>,
    /// Memory of blocks for reuse: allocating new memory costs as much as copying into it.
    free_blocks: Arc<Mutex<Vec<BytesMut>>>,
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
            free_blocks: Arc::default(),
            large: Arc::new(Semaphore::new(LARGE_FILES)),
            progress: Arc::new(Progress::default()),
            limits,
            stop,
        }
    }

    /// The same with separate progress, which also counts for `whole`.
    #[must_use]
    pub fn counted_within(&self, whole: &Arc<Progress>) -> Self {
        Self { progress: Arc::new(Progress::within(whole.clone())), ..self.clone() }
    }

    /// Memory for a block of `length` bytes.
    fn block(&self, length: u64) -> BytesMut {
        let mut block = self.free_blocks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        block.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        block
    }

    /// Makes the memory of a block available again, if nobody else holds it.
    fn give_back(&self, block: Bytes) {
        if let Ok(block) = block.try_into_mut() {
            self.free_blocks.lock().unwrap_or_else(PoisonError::into_inner).push(block);
        }
    }

    /// Does the work unless a stop is requested, which interrupts it.
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
            // If the sender is gone, no stop can be requested.
            Ok(_) = stop.wait_for(|stop| *stop) => Err(TransferError::Stopped),
            done = work => done,
        }
    }
}

/// The threads for transfers: separate from those of a run, so that neither waits for the other.
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

/// A system error on a local file, as a permanent error.
pub(crate) fn local(what: &str, path: &std::path::Path, error: &std::io::Error) -> TransferError {
    TransferError::Permanent(format!("cannot {what} {}: {error}", path.display()))
}
