//! What has been moved so far, for whoever wants to show it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Figures that grow while bytes are moved.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicU64,
    bytes: AtomicU64,
    moved_files: AtomicU64,
    moved_bytes: AtomicU64,
    skipped_files: AtomicU64,
    skipped_bytes: AtomicU64,
    /// What is being waited out, and whether anything is: asked for every few bytes.
    trouble: Mutex<Option<String>>,
    troubled: AtomicBool,
    /// All of which this is a part.
    whole: Option<Arc<Progress>>,
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many files there are in all.
    pub files: u64,
    /// Their bytes, as far as they are known.
    pub bytes: u64,
    /// How many files have been moved.
    pub moved_files: u64,
    /// How many bytes have been moved.
    pub moved_bytes: u64,
    /// How many files were there already.
    pub skipped_files: u64,
    /// Their bytes, and those of blocks that were there already.
    pub skipped_bytes: u64,
}

impl Progress {
    /// Figures that count for others, too.
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

    /// There is so much more to do.
    pub fn expect(&self, files: u64, bytes: u64) {
        self.add(|p| &p.files, files);
        self.add(|p| &p.bytes, bytes);
    }

    /// Bytes were moved.
    pub fn moved(&self, bytes: u64) {
        self.add(|p| &p.moved_bytes, bytes);
        self.goes_on();
    }

    /// Bytes that were moved are of no use: they are moved again.
    pub fn lost(&self, bytes: u64) {
        self.moved_bytes.fetch_sub(bytes, Relaxed);
        if let Some(whole) = &self.whole {
            whole.lost(bytes);
        }
    }

    /// A file is where it should be.
    pub fn file_moved(&self) {
        self.add(|p| &p.moved_files, 1);
    }

    /// A file was there already.
    pub fn file_skipped(&self, bytes: u64) {
        self.add(|p| &p.skipped_files, 1);
        self.skipped(bytes);
    }

    /// Bytes were there already.
    pub fn skipped(&self, bytes: u64) {
        self.add(|p| &p.skipped_bytes, bytes);
    }

    /// Something went wrong, and it is tried again in a while.
    pub fn waits(&self, why: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        self.troubled.store(true, Relaxed);
        if let Some(whole) = &self.whole {
            whole.waits(why);
        }
    }

    /// Nothing is waited for.
    pub fn goes_on(&self) {
        if self.troubled.swap(false, Relaxed) {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        if let Some(whole) = &self.whole {
            whole.goes_on();
        }
    }

    /// The last trouble that is being waited out.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it stands.
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
