//! Trying again: how long to wait after trouble that may pass, and when to give up.
//!
//! Waits double and have jitter, so that many blocks that failed together do not come back together; what the server asks
//! for is the least. Whoever makes headway begins anew: patience is for trouble, not for slow lines. What is waited for is
//! told to [`Progress`], so that nobody watches a bar that stands still without a word.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Transfer;
use super::progress::Progress;
use crate::store::remote::Trouble;

/// The first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(15);
/// So long a host is looked for that nobody knows: a laptop without a network need not wait for minutes.
const NO_HOST: Duration = Duration::from_secs(5);
/// So many tries there are at least, however long they take.
const TRIES: u32 = 4;

/// The tries of one request.
pub struct Tries {
    patience: Duration,
    progress: Arc<Progress>,
    since: Instant,
    failed: u32,
}

impl Tries {
    /// No try yet.
    #[must_use]
    pub fn new(transfer: &Transfer) -> Self {
        let (patience, progress) = (transfer.limits.patience, transfer.progress.clone());
        Self { patience, progress, since: Instant::now(), failed: 0 }
    }

    /// Something was moved: what went wrong before does not count.
    pub fn headway(&mut self) {
        if self.failed > 0 {
            self.failed = 0;
            self.progress.goes_on();
        }
    }

    /// Waits after trouble that may pass.
    ///
    /// # Errors
    /// Trouble that does not pass, or that lasted too long.
    pub async fn again(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let (why, after, patience) = match trouble {
            Trouble::Passing { why, after } => (why, after, self.patience),
            Trouble::NoHost(why) => (why, None, self.patience.min(NO_HOST)),
            other => return Err(other),
        };
        if self.failed == 0 {
            self.since = Instant::now();
        }
        self.failed += 1;
        let wait = wait(self.failed, after, fastrand::f64());
        if self.failed >= TRIES && self.since.elapsed() + wait > patience {
            let tries = self.failed;
            let seconds = self.since.elapsed().as_secs();
            return Err(Trouble::Unreachable(format!("{why} (given up after {tries} tries in {seconds} s)")));
        }
        self.progress.waits(&why);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Whether it was done or given up, nothing is waited for any more.
impl Drop for Tries {
    fn drop(&mut self) {
        self.headway();
    }
}

/// Asks until there is an answer or patience ends.
///
/// # Errors
/// The last trouble.
pub async fn patiently<T, F: Future<Output = Result<T, Trouble>>>(
    transfer: &Transfer,
    mut ask: impl FnMut() -> F,
) -> Result<T, Trouble> {
    let mut tries = Tries::new(transfer);
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
    // A server that wants hours is not waited for: patience ends first, and says so.
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

    fn transfer(patience: u64) -> Transfer {
        let limits = Limits { patience: Duration::from_secs(patience), ..Limits::default() };
        Transfer::new(limits, tokio::sync::watch::channel(false).1)
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_passes_is_borne() {
        let mut left = 3;
        let transfer = transfer(60);
        let answer = patiently(&transfer, || {
            left -= 1;
            assert_eq!(transfer.progress.trouble().as_deref(), (left < 2).then_some("busy"));
            std::future::ready(if left > 0 { Err(Trouble::passing("busy")) } else { Ok(7) })
        });
        assert_eq!(answer.await, Ok(7));
        assert_eq!(transfer.progress.trouble(), None, "what was overcome is not told");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let answer = patiently(&transfer(0), || std::future::ready(Err::<(), _>(Trouble::passing("busy")))).await;
        assert_eq!(answer, Err(Trouble::Unreachable("busy (given up after 4 tries in 0 s)".into())));
        let denied = patiently(&transfer(60), || std::future::ready(Err::<(), _>(Trouble::Denied("no".into())))).await;
        assert_eq!(denied, Err(Trouble::Denied("no".into())));
    }
}
