//! The concurrency limit: how many requests may run at the same time, adapted to the measured throughput.
//!
//! The limit begins low. It increases as long as more requests transfer more, decreases if more requests transferred
//! less, and drops when the server is overloaded. Less throughput than before is no reason to decrease the limit:
//! fewer requests would transfer even less, and the limit would go down to almost nothing. A limit that the user sets
//! does not change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const FIRST: usize = 8;
const FEWEST: usize = 2;
const MOST: usize = 32;
/// How long to measure before the limit changes.
const SPELL: Duration = Duration::from_millis(250);
/// The overhead of a request, in bytes.
const REQUEST: u64 = 64 << 10;

/// Limits the number of requests that run at the same time.
pub struct ConcurrencyLimiter {
    places: Arc<Semaphore>,
    state: Mutex<State>,
    fixed: bool,
}

struct State {
    width: usize,
    /// Permits to remove when they are returned.
    surplus: usize,
    best: f64,
    /// The limit before the last increase, until its effect is known.
    before: Option<usize>,
    since: Instant,
    moved: u64,
    requests: usize,
}

/// A permit for one request.
pub struct Permit {
    limiter: Arc<ConcurrencyLimiter>,
    permit: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimiter {
    /// A limiter with the user's limit, or one that adapts.
    #[must_use]
    pub fn new(jobs: Option<usize>) -> Self {
        let width = jobs.unwrap_or(FIRST).max(1);
        let state = State { width, surplus: 0, best: 0.0, before: None, since: Instant::now(), moved: 0, requests: 0 };
        Self { places: Arc::new(Semaphore::new(width)), state: Mutex::new(state), fixed: jobs.is_some() }
    }

    /// Waits for a permit.
    pub async fn enter(self: &Arc<Self>) -> Permit {
        // The semaphore is never closed; without a permit there would only be one more request.
        let permit = self.places.clone().acquire_owned().await.ok();
        Permit { limiter: self.clone(), permit }
    }

    /// Lowers the limit, because the server asked for fewer requests.
    pub fn back_off(&self) {
        if !self.fixed {
            let mut state = self.state();
            let fewer = (state.width / 2).max(FEWEST);
            self.narrow(&mut state, fewer);
            (state.best, state.before) = (0.0, None);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn narrow(&self, state: &mut State, to: usize) {
        let fewer = state.width.saturating_sub(to);
        let gone = self.places.forget_permits(fewer);
        state.surplus += fewer - gone;
        state.width -= fewer;
    }

    /// Counts what a request transferred, and adapts the limit from time to time.
    fn moved(&self, bytes: u64) {
        if self.fixed {
            return;
        }
        let mut state = self.state();
        state.moved += bytes + REQUEST;
        state.requests += 1;
        let spell = state.since.elapsed();
        if spell < SPELL || state.requests < state.width {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = state.moved as f64 / spell.as_secs_f64();
        let width = state.width;
        let (next, best) = conclusion(width, rate, state.best, state.before);
        (state.best, state.before) = (best, (next > width).then_some(width));
        (state.since, state.moved, state.requests) = (Instant::now(), 0, 0);
        if next > width {
            let more = next - width;
            let kept = more.min(state.surplus);
            state.surplus -= kept;
            self.places.add_permits(more - kept);
            state.width = next;
        } else {
            self.narrow(&mut state, next);
        }
    }
}

/// The next limit after `width` requests at a time had this throughput, and the throughput that it must exceed.
fn conclusion(width: usize, rate: f64, best: f64, before: Option<usize>) -> (usize, f64) {
    match before {
        _ if rate > best * 1.1 => ((width + width / 2).min(MOST), rate),
        Some(before) if rate < best * 0.9 => (before, best),
        // The conditions have changed.
        _ if rate < best * 0.7 => (width, rate),
        _ => (width, best.max(rate)),
    }
}

impl Permit {
    /// Returns the permit after the request transferred `bytes`.
    pub fn leave(self, bytes: u64) {
        self.limiter.moved(bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if state.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            state.surplus -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_tried_while_it_helps() {
        assert_eq!(conclusion(8, 100.0, 0.0, None), (12, 100.0));
        assert_eq!(conclusion(12, 105.0, 100.0, Some(8)), (12, 105.0));
        assert_eq!(conclusion(12, 80.0, 100.0, Some(8)), (8, 100.0), "more moved less");
        assert_eq!(conclusion(32, 500.0, 100.0, None), (MOST, 500.0));
    }

    #[test]
    fn a_slow_while_does_not_end_in_ever_fewer_requests() {
        let (mut width, mut best) = (12, 100.0);
        for _ in 0..20 {
            (width, best) = conclusion(width, 30.0, best, None);
        }
        assert_eq!(width, 12);
        assert_eq!(conclusion(width, 100.0, best, None).0, 18);
    }

    #[tokio::test]
    async fn a_server_that_asks_to_be_spared_gets_fewer_requests() {
        let limiter = Arc::new(ConcurrencyLimiter::new(None));
        let mut all = Vec::new();
        for _ in 0..FIRST {
            all.push(limiter.enter().await);
        }
        limiter.back_off();
        all.clear();
        assert_eq!(limiter.places.available_permits(), FIRST / 2);
        let fixed = Arc::new(ConcurrencyLimiter::new(Some(3)));
        fixed.back_off();
        assert_eq!(fixed.places.available_permits(), 3);
    }
}
