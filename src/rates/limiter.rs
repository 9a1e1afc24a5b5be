//! A rate limit for each key, with a burst: the generic cell rate algorithm (ITU-T I.371).
//!
//! The crate `governor` is not used, because it cannot check a limit without charging it. The check keeps a flood of bad tokens
//! from the API server while known tokens from the same address are accepted.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of keys. Additional keys are not limited, so that a flood of keys neither lifts the limit of another key nor
/// refuses its requests.
const MAX_KEYS: usize = 100_000;
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// A separate limit for each key.
pub struct RateLimiter<K> {
    interval: Duration,
    /// How far in the future `full_at` of a key may be. A charge that would exceed this is refused.
    burst: Duration,
    /// For each key, the time when its allowance is full again.
    full_at: Mutex<HashMap<K, Instant>>,
    /// When keys with a full allowance may be removed again. Removing them at every charge would make a flood expensive.
    next_sweep: Mutex<Instant>,
}

impl<K: Hash + Eq> RateLimiter<K> {
    /// A limit of `per_second`, with a burst of the same number.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        Self::with_burst(Duration::from_secs(1) / per_second.get(), Duration::from_secs(1))
    }

    /// A limit of one per interval, without a burst.
    #[must_use]
    pub fn one_every(interval: Duration) -> Self {
        Self::with_burst(interval, interval)
    }

    fn with_burst(interval: Duration, burst: Duration) -> Self {
        Self { interval, burst, full_at: Mutex::default(), next_sweep: Mutex::new(Instant::now()) }
    }

    /// Charges one unit. Returns false, and charges nothing, if no unit is left.
    pub fn charge(&self, key: K) -> bool {
        let now = Instant::now();
        let mut full_at = self.lock();
        if full_at.len() >= MAX_KEYS {
            let mut next_sweep = self.next_sweep.lock().unwrap_or_else(PoisonError::into_inner);
            if *next_sweep <= now {
                full_at.retain(|_, at| *at > now);
                *next_sweep = now + SWEEP_INTERVAL;
            }
            if full_at.len() >= MAX_KEYS && !full_at.contains_key(&key) {
                return true;
            }
        }
        let at = full_at.entry(key).or_insert(now);
        let next = (*at).max(now) + self.interval;
        let allowed = next <= now + self.burst;
        if allowed {
            *at = next;
        }
        allowed
    }

    /// Gives back one charged unit.
    pub fn refund(&self, key: &K) {
        if let Some(at) = self.lock().get_mut(key) {
            *at = at.checked_sub(self.interval).unwrap_or(*at);
        }
    }

    /// Whether no unit is left.
    pub fn is_exhausted(&self, key: &K) -> bool {
        let horizon = Instant::now() + self.burst;
        self.lock().get(key).is_some_and(|at| *at + self.interval > horizon)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_and_then_one_per_interval() {
        let limiter = RateLimiter::new(NonZeroU32::new(20).expect("not zero"));
        assert_eq!((0..50).filter(|_| limiter.charge("a")).count(), 20);
        assert!(limiter.is_exhausted(&"a") && !limiter.is_exhausted(&"b"));
        assert!(limiter.charge("b"), "another key has its own limit");
        tokio::time::advance(Duration::from_millis(50)).await;
        assert!(!limiter.is_exhausted(&"a"));
        assert_eq!((0..50).filter(|_| limiter.charge("a")).count(), 1);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!((0..50).filter(|_| limiter.charge("a")).count(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn one_every_allows_no_burst() {
        let limiter = RateLimiter::one_every(Duration::from_secs(10));
        assert!(!limiter.is_exhausted(&"a") && limiter.charge("a"));
        assert!(limiter.is_exhausted(&"a") && !limiter.charge("a"));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(limiter.is_exhausted(&"a"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!limiter.is_exhausted(&"a") && limiter.charge("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_keys_is_bounded() {
        let limiter = RateLimiter::new(NonZeroU32::new(20).expect("not zero"));
        while limiter.charge(u64::MAX) {}
        for key in 0..300_000_u64 {
            limiter.charge(key);
        }
        assert!(limiter.lock().len() <= MAX_KEYS);
        assert!(limiter.is_exhausted(&u64::MAX), "the flood lifted the limit of another key");
    }
}
