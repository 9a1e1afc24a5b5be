//! A rate limit per second for each key, with a burst: the generic cell rate algorithm (ITU-T I.371).
//!
//! Own code, because the well-known crate cannot check a limit without charging it. The check is needed so that a
//! flood of bad tokens does not reach the API server while known tokens from the same address are accepted.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of keys held. If more keys appear within one second, the additional keys are not limited: no
/// existing limit is lifted, and no request is refused because of other keys.
const MAX_KEYS: usize = 100_000;
const SWEEP: Duration = Duration::from_millis(100);

/// A separate limit for each key.
pub struct RateLimiter<K> {
    interval: Duration,
    /// How far ahead the time of the full allowance may be.
    burst: Duration,
    /// For each key, the time at which its full allowance is restored.
    full_again: Mutex<HashMap<K, Instant>>,
    /// When keys with a restored allowance are removed next; not at every charge, so that a flood stays cheap.
    next_sweep: Mutex<Instant>,
}

impl<K: Hash + Eq> RateLimiter<K> {
    /// `per_second` per second, with a burst of one second's allowance.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        Self::with(Duration::from_secs(1) / per_second.get(), Duration::from_secs(1))
    }

    /// One per interval, without a burst.
    #[must_use]
    pub fn one_every(interval: Duration) -> Self {
        Self::with(interval, interval)
    }

    fn with(interval: Duration, burst: Duration) -> Self {
        Self { interval, burst, full_again: Mutex::default(), next_sweep: Mutex::new(Instant::now()) }
    }

    /// Charges one unit; false if none is left.
    pub fn charge(&self, key: K) -> bool {
        let now = Instant::now();
        let mut full_again = self.lock();
        if full_again.len() >= MAX_KEYS {
            let mut next_sweep = self.next_sweep.lock().unwrap_or_else(PoisonError::into_inner);
            if *next_sweep <= now {
                full_again.retain(|_, at| *at > now);
                *next_sweep = now + SWEEP;
            }
            if full_again.len() >= MAX_KEYS && !full_again.contains_key(&key) {
                return true;
            }
        }
        let at = full_again.entry(key).or_insert(now);
        let next = (*at).max(now) + self.interval;
        let allowed = next <= now + self.burst;
        if allowed {
            *at = next;
        }
        allowed
    }

    /// Returns one charged unit.
    pub fn refund(&self, key: &K) {
        if let Some(at) = self.lock().get_mut(key) {
            *at = at.checked_sub(self.interval).unwrap_or(*at);
        }
    }

    /// Whether no unit is left now.
    pub fn is_exhausted(&self, key: &K) -> bool {
        let horizon = Instant::now() + self.burst;
        self.lock().get(key).is_some_and(|at| *at + self.interval > horizon)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.full_again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_one_an_interval() {
        let limiter = RateLimiter::new(NonZeroU32::new(20).expect("not zero"));
        assert_eq!((0..50).filter(|_| limiter.charge("a")).count(), 20);
        assert!(limiter.is_exhausted(&"a") && !limiter.is_exhausted(&"b"));
        assert!(limiter.charge("b"), "one key's flood is not another's");
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(!limiter.is_exhausted(&"a"));
        assert_eq!((0..50).filter(|_| limiter.charge("a")).count(), 1);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!((0..50).filter(|_| limiter.charge("a")).count(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_an_interval_has_no_burst() {
        let limiter = RateLimiter::one_every(Duration::from_secs(10));
        assert!(!limiter.is_exhausted(&"a") && limiter.charge("a"));
        assert!(limiter.is_exhausted(&"a") && !limiter.charge("a"));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(limiter.is_exhausted(&"a"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!limiter.is_exhausted(&"a") && limiter.charge("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_keys_stays_bounded() {
        let limiter = RateLimiter::new(NonZeroU32::new(20).expect("not zero"));
        while limiter.charge(u64::MAX) {}
        for key in 0..300_000_u64 {
            limiter.charge(key);
        }
        assert!(limiter.lock().len() <= MAX_KEYS);
        assert!(limiter.is_exhausted(&u64::MAX), "the flood has freed the one who was limited");
    }
}
