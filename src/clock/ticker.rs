//! Calls a function at an interval while other work is in progress.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Calls its function until it is dropped.
pub struct Ticker {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Makes the first call after one interval.
    pub fn every(interval: Duration, mut say: impl FnMut() + Send + 'static) -> Self {
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("ticking".to_owned()).spawn(move || {
            // The sender is dropped at the end.
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                say();
            }
        });
        Self { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
