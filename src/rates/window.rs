//! A rate limit over all callers: a sliding window of one second over the last admissions.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A limit without keys.
pub struct Window {
    most: usize,
    /// The start times of the last admissions, in order; at most the limit. Reserved ones are in the future.
    admitted: Mutex<VecDeque<Instant>>,
}

impl Window {
    /// `per_second` in any second.
    #[must_use]
    pub fn new(per_second: NonZeroU32) -> Self {
        Self { most: per_second.get() as usize, admitted: Mutex::default() }
    }

    /// Reserves the next free place if it is at most `patience` away, and returns its start.
    pub fn reserve(&self, patience: Duration) -> Option<Instant> {
        let now = Instant::now();
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let free = if admitted.len() < self.most { now } else { now.max(*admitted.front()? + SECOND) };
        if free > now + patience {
            return None;
        }
        if admitted.len() >= self.most {
            admitted.pop_front();
        }
        admitted.push_back(free);
        Some(free)
    }

    /// Takes a free place now, if at least half of all places are free.
    pub fn take_spare(&self) -> bool {
        let now = Instant::now();
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = admitted.iter().rev().take_while(|at| **at + SECOND > now).count();
        let is_spare = taken < self.most.div_ceil(2);
        if is_spare {
            if admitted.len() >= self.most {
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

    fn window(per_second: u32) -> Window {
        Window::new(NonZeroU32::new(per_second).expect("not zero"))
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_than_the_limit_and_who_is_patient_gets_a_later_place() {
        let (window, start) = (window(5), Instant::now());
        let places: Vec<Duration> =
            (0..20).filter_map(|_| window.reserve(SECOND * 2)).map(|at| at.duration_since(start)).collect();
        let expected: Vec<Duration> = (0..15).map(|place| SECOND * (place / 5)).collect();
        assert_eq!(places, expected, "fifteen within two seconds, and no more");
        assert_eq!(window.reserve(Duration::ZERO), None);
        tokio::time::advance(SECOND * 3).await;
        assert_eq!((0..9).filter(|_| window.reserve(Duration::ZERO).is_some()).count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_places_are_never_spare() {
        let window = window(5);
        assert_eq!((0..9).filter(|_| window.take_spare()).count(), 3);
        assert_eq!((0..9).filter(|_| window.reserve(Duration::ZERO).is_some()).count(), 2);
        tokio::time::advance(SECOND).await;
        assert!(window.reserve(Duration::ZERO).is_some() && window.take_spare() && window.take_spare());
        assert!(!window.take_spare());
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_one_has_a_spare_place_too() {
        let window = window(1);
        assert!(window.take_spare() && !window.take_spare() && window.reserve(Duration::ZERO).is_none());
        tokio::time::advance(SECOND).await;
        assert!(window.take_spare());
    }
}
