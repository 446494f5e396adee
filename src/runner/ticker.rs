//! Something that is said again and again while something else goes on.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Says it until it is dropped.
pub(crate) struct Ticker {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Says it for the first time after the interval.
    pub fn every(interval: Duration, say: impl Fn() + Send + 'static) -> Self {
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("ticking".to_owned()).spawn(move || {
            // The other end is dropped when it is over.
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
