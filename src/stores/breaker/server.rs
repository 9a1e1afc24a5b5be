//! The breaker of a server. Only a failed probe opens it and only a successful probe closes it, so no caller's request suspends
//! the calls of other callers.

use super::failure_count::{Failure, FailureCount};
use super::scope::{FIRST_PAUSE, MAX_PAUSE};
use std::time::Duration;
use tokio::time::Instant;

/// After a successful probe, there is no other probe for this time.
const PROBE_VALID_FOR: Duration = Duration::from_secs(1);

/// The state of a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum ServerBreaker {
    /// Calls are made.
    Closed { failures: FailureCount, trusted_until: Option<Instant> },
    /// Calls are made while a probe is under way.
    Suspected,
    /// Calls are suspended. A probe is under way or follows after the pause.
    Open { pause: Duration },
}

/// The change caused by a probe, and the time until the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeEffect {
    /// The server is available, and no call was suspended.
    StayedClosed,
    /// The server is available again.
    Closed,
    /// Calls are suspended.
    Opened(Duration),
    /// The server is still unavailable.
    StillOpen(Duration),
}

impl ServerBreaker {
    /// A closed breaker.
    pub(super) fn new() -> Self {
        Self::Closed { failures: FailureCount::default(), trusted_until: None }
    }

    /// Whether calls are made.
    pub(super) const fn admits(&self) -> bool {
        !matches!(self, Self::Open { .. })
    }

    /// Counts a call that succeeded (`None`) or failed. Returns whether to probe the server.
    pub(super) fn settle(&mut self, failure: Option<Failure>) -> bool {
        let Self::Closed { failures, trusted_until } = self else { return false };
        let Some(failure) = failure else {
            *failures = FailureCount::default();
            return false;
        };
        let is_enough = failures.add(failure) && trusted_until.is_none_or(|until| until <= Instant::now());
        if is_enough {
            *self = Self::Suspected;
        }
        is_enough
    }

    /// Counts the result of a probe.
    pub(super) fn settle_probe(&mut self, is_available: bool) -> ProbeEffect {
        let (next, effect) = match (*self, is_available) {
            (Self::Open { .. }, true) => (Self::closed_now(), ProbeEffect::Closed),
            (_, true) => (Self::closed_now(), ProbeEffect::StayedClosed),
            (Self::Open { pause }, false) => {
                let pause = pause.saturating_mul(2).min(MAX_PAUSE);
                (Self::Open { pause }, ProbeEffect::StillOpen(pause))
            }
            (_, false) => (Self::Open { pause: FIRST_PAUSE }, ProbeEffect::Opened(FIRST_PAUSE)),
        };
        *self = next;
        effect
    }

    fn closed_now() -> Self {
        Self::Closed { failures: FailureCount::default(), trusted_until: Some(Instant::now() + PROBE_VALID_FOR) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure_count::FAILURES_TO_OPEN;
    use super::*;

    fn suspected() -> ServerBreaker {
        let mut server = ServerBreaker::new();
        for number in 1..=FAILURES_TO_OPEN {
            assert_eq!(server.settle(Some(Failure::Whole)), number == FAILURES_TO_OPEN);
        }
        server
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_after_failures_in_a_row_and_a_failed_probe() {
        let mut server = suspected();
        assert!(server.admits(), "calls are made until the probe has failed");
        assert!(!server.settle(Some(Failure::Whole)), "one probe at a time");
        assert_eq!(server.settle_probe(false), ProbeEffect::Opened(FIRST_PAUSE));
        assert!(!server.admits());
        for seconds in [2, 4, 8, 15, 15] {
            assert_eq!(server.settle_probe(false), ProbeEffect::StillOpen(Duration::from_secs(seconds)));
        }
        assert!(!server.settle(None) && !server.admits(), "no call closes it");
        assert_eq!(server.settle_probe(true), ProbeEffect::Closed);
        assert!(server.admits());
    }

    #[tokio::test(start_paused = true)]
    async fn a_successful_probe_keeps_the_breaker_closed_for_a_second() {
        let mut server = suspected();
        assert_eq!(server.settle_probe(true), ProbeEffect::StayedClosed);
        for _ in 0..100 {
            assert!(!server.settle(Some(Failure::Whole)) && server.admits());
        }
        tokio::time::advance(PROBE_VALID_FOR).await;
        assert!(server.settle(Some(Failure::Whole)));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_a_single_mount_never_cause_a_probe() {
        let mut server = ServerBreaker::new();
        for _ in 0..100 {
            assert!(!server.settle(Some(Failure::Part(1))));
        }
        assert!(server.settle(Some(Failure::Part(2))));
        let mut server = ServerBreaker::new();
        for _ in 0..100 {
            assert!(!server.settle(Some(Failure::Part(1))));
            assert!(!server.settle(None), "a success resets the count");
            assert!(!server.settle(Some(Failure::Part(2))));
        }
    }
}
