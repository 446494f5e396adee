//! The retry policy: how long to wait after a transient error, and when to give up.
//!
//! Waits double and have jitter, so that blocks that failed together do not retry at the same moment. A server's
//! `Retry-After` is the minimum. Progress resets the count: the timeout is for errors, not for slow connections.
//! [`Progress`] shows the error that is being retried.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Transfer;
use super::progress::Progress;
use crate::store::remote::TransferError;

/// The first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(15);
/// How long to retry a host name that cannot be resolved: without a network you should not have to wait for minutes.
const NO_HOST: Duration = Duration::from_secs(5);
/// The minimum number of attempts, however long they take.
const TRIES: u32 = 4;

/// The attempts of one request.
pub struct RetryState {
    retry_timeout: Duration,
    progress: Arc<Progress>,
    since: Instant,
    failed: u32,
}

impl RetryState {
    /// The state before the first attempt.
    #[must_use]
    pub fn new(transfer: &Transfer) -> Self {
        let (retry_timeout, progress) = (transfer.limits.retry_timeout, transfer.progress.clone());
        Self { retry_timeout, progress, since: Instant::now(), failed: 0 }
    }

    /// Resets the errors, because something was transferred.
    pub fn progressed(&mut self) {
        if self.failed > 0 {
            self.failed = 0;
            self.progress.recovered();
        }
    }

    /// Waits after a transient error.
    ///
    /// # Errors
    /// An error that is permanent, or that lasted too long.
    pub async fn again(&mut self, trouble: TransferError) -> Result<(), TransferError> {
        let (why, after, limit) = match trouble {
            TransferError::Transient { why, after } => (why, after, self.retry_timeout),
            TransferError::NoHost(why) => (why, None, self.retry_timeout.min(NO_HOST)),
            other => return Err(other),
        };
        if self.failed == 0 {
            self.since = Instant::now();
        }
        self.failed += 1;
        let wait = wait(self.failed, after, fastrand::f64());
        if self.failed >= TRIES && self.since.elapsed() + wait > limit {
            let tries = self.failed;
            let seconds = self.since.elapsed().as_secs();
            return Err(TransferError::Unreachable(format!("{why} (gave up after {tries} attempts in {seconds} s)")));
        }
        self.progress.waits(&why);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Whether the request succeeded or failed, nothing is waited for any more.
impl Drop for RetryState {
    fn drop(&mut self) {
        self.progressed();
    }
}

/// Repeats a request until it succeeds or the retry timeout is over.
///
/// # Errors
/// The last error.
pub async fn with_retries<T, F: Future<Output = Result<T, TransferError>>>(
    transfer: &Transfer,
    mut ask: impl FnMut() -> F,
) -> Result<T, TransferError> {
    let mut tries = RetryState::new(transfer);
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(trouble) => tries.again(trouble).await?,
        }
    }
}

/// The wait after so many failures; `jitter` is from 0 to 1.
fn wait(failed: u32, after: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << (failed - 1).min(10)).min(LONGEST);
    let ours = doubled.mul_f64(0.5 + jitter / 2.0);
    // A server that asks for hours is not waited for: the retry timeout ends first, with an error that says so.
    ours.max(after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Limits;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_within_bounds(failed in 1u32..100, jitter in 0.0f64..1.0, after in 0u64..100) {
            let wait = wait(failed, Some(Duration::from_secs(after)), jitter);
            prop_assert!(wait >= FIRST / 2 && wait >= Duration::from_secs(after));
            prop_assert!(wait <= LONGEST.max(Duration::from_secs(after)));
        }
    }

    fn transfer(retry_timeout: u64) -> Transfer {
        let limits = Limits { retry_timeout: Duration::from_secs(retry_timeout), ..Limits::default() };
        Transfer::new(limits, tokio::sync::watch::channel(false).1)
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_passes_is_borne() {
        let mut left = 3;
        let transfer = transfer(60);
        let answer = with_retries(&transfer, || {
            left -= 1;
            assert_eq!(transfer.progress.trouble().as_deref(), (left < 2).then_some("busy"));
            std::future::ready(if left > 0 { Err(TransferError::transient("busy")) } else { Ok(7) })
        });
        assert_eq!(answer.await, Ok(7));
        assert_eq!(transfer.progress.trouble(), None, "what was overcome is not told");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_timeout_ends() {
        let answer =
            with_retries(&transfer(0), || std::future::ready(Err::<(), _>(TransferError::transient("busy")))).await;
        assert_eq!(answer, Err(TransferError::Unreachable("busy (gave up after 4 attempts in 0 s)".into())));
        let denied =
            with_retries(&transfer(60), || std::future::ready(Err::<(), _>(TransferError::Denied("no".into())))).await;
        assert_eq!(denied, Err(TransferError::Denied("no".into())));
    }
}
