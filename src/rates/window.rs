//! A rate limit for all callers together: at most `limit` admissions in any second.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A sliding window of one second.
pub struct SlidingWindow {
    limit: usize,
    /// The times of the last admissions in ascending order, at most `limit`. Reserved admissions are in the future.
    admitted: Mutex<VecDeque<Instant>>,
}

impl SlidingWindow {
    /// A limit of `per_second` admissions in any second.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        Self { limit: per_second.get() as usize, admitted: Mutex::default() }
    }

    /// Reserves the next possible admission and returns its time. `None` if that is more than `max_wait` away.
    pub fn reserve(&self, max_wait: Duration) -> Option<Instant> {
        let now = Instant::now();
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let free = if admitted.len() < self.limit { now } else { now.max(*admitted.front()? + SECOND) };
        if free > now + max_wait {
            return None;
        }
        if admitted.len() >= self.limit {
            admitted.pop_front();
        }
        admitted.push_back(free);
        Some(free)
    }

    /// Admits now if less than half of the limit was used in the last second, counting reserved admissions. Returns whether it
    /// admitted.
    pub fn take_spare(&self) -> bool {
        let now = Instant::now();
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let used = admitted.iter().rev().take_while(|at| **at + SECOND > now).count();
        let is_spare = used < self.limit.div_ceil(2);
        if is_spare {
            if admitted.len() >= self.limit {
                admitted.pop_front();
            }
            admitted.push_back(now);
        }
        is_spare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(per_second: u32) -> SlidingWindow {
        SlidingWindow::new(NonZeroU32::new(per_second).expect("not zero"))
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_admissions_than_the_limit() {
        let (window, start) = (window(5), Instant::now());
        let admissions: Vec<Duration> =
            (0..20).filter_map(|_| window.reserve(SECOND * 2)).map(|at| at.duration_since(start)).collect();
        let expected: Vec<Duration> = (0..15).map(|index| SECOND * (index / 5)).collect();
        assert_eq!(admissions, expected, "fifteen within two seconds, and no more");
        assert_eq!(window.reserve(Duration::ZERO), None);
        tokio::time::advance(SECOND * 3).await;
        assert_eq!((0..9).filter(|_| window.reserve(Duration::ZERO).is_some()).count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn take_spare_uses_at_most_half_of_the_limit() {
        let window = window(5);
        assert_eq!((0..9).filter(|_| window.take_spare()).count(), 3);
        assert_eq!((0..9).filter(|_| window.reserve(Duration::ZERO).is_some()).count(), 2);
        tokio::time::advance(SECOND).await;
        assert!(window.reserve(Duration::ZERO).is_some() && window.take_spare() && window.take_spare());
        assert!(!window.take_spare());
    }

    #[tokio::test(start_paused = true)]
    async fn take_spare_works_with_a_limit_of_one() {
        let window = window(1);
        assert!(window.take_spare() && !window.take_spare() && window.reserve(Duration::ZERO).is_none());
        tokio::time::advance(SECOND).await;
        assert!(window.take_spare());
    }
}
