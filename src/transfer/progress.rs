//! The progress of transfers, for display.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Counters that grow during transfers.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicU64,
    bytes: AtomicU64,
    moved_files: AtomicU64,
    moved_bytes: AtomicU64,
    skipped_files: AtomicU64,
    skipped_bytes: AtomicU64,
    /// The transient error that is being retried, and a flag for it, because it is checked every few bytes.
    trouble: Mutex<Option<String>>,
    troubled: AtomicBool,
    /// The progress of which this is a part.
    whole: Option<Arc<Progress>>,
}

/// The values at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The number of all files.
    pub files: u64,
    /// Their size, as far as it is known.
    pub bytes: u64,
    /// How many files have been moved.
    pub moved_files: u64,
    /// How many bytes have been moved.
    pub moved_bytes: u64,
    /// How many files were already there.
    pub skipped_files: u64,
    /// Their size, and the size of blocks that were already there.
    pub skipped_bytes: u64,
}

impl Progress {
    /// Progress that also counts for `whole`.
    #[must_use]
    pub fn within(whole: Arc<Progress>) -> Self {
        Self { whole: Some(whole), ..Self::default() }
    }

    fn add(&self, field: impl Fn(&Self) -> &AtomicU64, number: u64) {
        field(self).fetch_add(number, Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(field, number);
        }
    }

    /// Adds work to do.
    pub fn expect(&self, files: u64, bytes: u64) {
        self.add(|p| &p.files, files);
        self.add(|p| &p.bytes, bytes);
    }

    /// Adds transferred bytes.
    pub fn moved(&self, bytes: u64) {
        self.add(|p| &p.moved_bytes, bytes);
        self.recovered();
    }

    /// Removes transferred bytes that are useless: they are transferred again.
    pub fn lost(&self, bytes: u64) {
        self.moved_bytes.fetch_sub(bytes, Relaxed);
        if let Some(whole) = &self.whole {
            whole.lost(bytes);
        }
    }

    /// Adds a transferred file.
    pub fn file_moved(&self) {
        self.add(|p| &p.moved_files, 1);
    }

    /// Adds a file that was already there.
    pub fn file_skipped(&self, bytes: u64) {
        self.add(|p| &p.skipped_files, 1);
        self.skipped(bytes);
    }

    /// Adds bytes that were already there.
    pub fn skipped(&self, bytes: u64) {
        self.add(|p| &p.skipped_bytes, bytes);
    }

    /// Reports an error that is retried after a wait.
    pub fn waits(&self, why: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        self.troubled.store(true, Relaxed);
        if let Some(whole) = &self.whole {
            whole.waits(why);
        }
    }

    /// Reports that the last error is over.
    pub fn recovered(&self) {
        if self.troubled.swap(false, Relaxed) {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        if let Some(whole) = &self.whole {
            whole.recovered();
        }
    }

    /// The last error that is being retried.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The current values.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            moved_files: self.moved_files.load(Relaxed),
            moved_bytes: self.moved_bytes.load(Relaxed),
            skipped_files: self.skipped_files.load(Relaxed),
            skipped_bytes: self.skipped_bytes.load(Relaxed),
        }
    }
}
