//! The breaker of a mount or a path: closed, open, or half-open with one trial call under way.

use super::failure_count::{Failure, FailureCount};
use std::time::Duration;
use tokio::time::Instant;

/// The first pause after opening.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The maximum pause. The pause doubles with each failed trial.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(15);
/// The maximum time for which calls are suspended because of a `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The result of a call, as it counts for one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeResult {
    /// The call succeeded.
    Success,
    /// The call says nothing about this scope.
    Ignored,
    /// The call failed.
    Failed(Failure),
    /// The call was rate-limited, with a `Retry-After`.
    RetryAfter(Duration),
}

/// A change of state, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateChange {
    /// Calls are suspended.
    Opened,
    /// Calls are resumed.
    Closed,
}

/// The state of a scope.
#[derive(Debug, Clone, Copy)]
pub(super) enum ScopeBreaker {
    /// Calls are made.
    Closed(FailureCount),
    /// Calls are suspended until `until`. If the trial then fails, the next pause is at least `pause`.
    Open { until: Instant, pause: Duration },
    /// One trial call is under way.
    HalfOpen { pause: Duration },
}

impl ScopeBreaker {
    /// A closed breaker.
    pub(super) fn new() -> Self {
        Self::Closed(FailureCount::default())
    }

    /// Whether a call may be made now.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match *self {
            Self::Closed(_) => true,
            Self::Open { until, .. } => until <= now,
            Self::HalfOpen { .. } => false,
        }
    }

    /// Begins an admitted call. Returns whether it is the trial.
    pub(super) fn begin_call(&mut self) -> bool {
        let Self::Open { pause, .. } = *self else { return false };
        *self = Self::HalfOpen { pause };
        true
    }

    /// The trial was dropped without a result. Another call may be the trial at once.
    pub(super) fn cancel_trial(&mut self) {
        if let Self::HalfOpen { pause } = *self {
            *self = Self::Open { until: Instant::now(), pause };
        }
    }

    /// Counts the result of a call; `is_trial` is what [`Self::begin_call`] returned for it.
    pub(super) fn settle(&mut self, result: ScopeResult, is_trial: bool) -> Option<StateChange> {
        let (next, change) = match (*self, result) {
            (Self::Closed(_), ScopeResult::Success) => (Self::new(), None),
            (Self::Closed(mut failures), ScopeResult::Failed(failure)) => {
                if failures.add(failure) {
                    (Self::open_for(FIRST_PAUSE), Some(StateChange::Opened))
                } else {
                    (Self::Closed(failures), None)
                }
            }
            (Self::Closed(_), ScopeResult::RetryAfter(wait)) => {
                (Self::open_for_retry_after(wait, FIRST_PAUSE), Some(StateChange::Opened))
            }
            (Self::HalfOpen { .. }, ScopeResult::Success) if is_trial => (Self::new(), Some(StateChange::Closed)),
            (Self::HalfOpen { pause }, ScopeResult::Failed(_)) if is_trial => {
                (Self::open_for(pause.saturating_mul(2).min(MAX_PAUSE)), None)
            }
            (Self::HalfOpen { pause }, ScopeResult::RetryAfter(wait)) if is_trial => {
                (Self::open_for_retry_after(wait, pause), None)
            }
            (Self::HalfOpen { pause }, ScopeResult::Ignored) if is_trial => {
                (Self::Open { until: Instant::now(), pause }, None)
            }
            // The call began before the breaker opened.
            (state, _) => (state, None),
        };
        *self = next;
        change
    }

    /// Whether there is no recent failure.
    pub(super) fn has_no_failures(&self) -> bool {
        matches!(self, Self::Closed(failures) if *failures == FailureCount::default())
    }

    /// Whether calls are made.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// Suspends calls for a pause.
    fn open_for(pause: Duration) -> Self {
        Self::Open { until: Instant::now() + pause, pause }
    }

    /// Suspends calls for the server's `Retry-After`, up to the limit.
    fn open_for_retry_after(wait: Duration, pause: Duration) -> Self {
        Self::Open { until: Instant::now() + wait.min(MAX_RETRY_AFTER), pause }
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure_count::FAILURES_TO_OPEN;
    use super::*;

    const JUST_BEFORE: Duration = Duration::from_millis(1);
    const FAILED: ScopeResult = ScopeResult::Failed(Failure::Whole);

    fn settle(scope: &mut ScopeBreaker, result: ScopeResult) -> Option<StateChange> {
        assert!(scope.admits(Instant::now()), "a call may be made");
        let is_trial = scope.begin_call();
        scope.settle(result, is_trial)
    }

    fn opened() -> ScopeBreaker {
        let mut scope = ScopeBreaker::new();
        for number in 1..=FAILURES_TO_OPEN {
            let change = settle(&mut scope, FAILED);
            assert_eq!(change, (number == FAILURES_TO_OPEN).then_some(StateChange::Opened));
        }
        scope
    }

    /// Asserts that no call may be made before a wait is over, and one after it.
    async fn waits(scope: &ScopeBreaker, wait: Duration) {
        tokio::time::advance(wait.saturating_sub(JUST_BEFORE)).await;
        assert!(!scope.admits(Instant::now()), "before {wait:?}");
        tokio::time::advance(JUST_BEFORE).await;
        assert!(scope.admits(Instant::now()), "after {wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_only_after_failures_in_a_row() {
        let mut scope = ScopeBreaker::new();
        for _ in 0..10 {
            for _ in 1..FAILURES_TO_OPEN {
                assert_eq!(settle(&mut scope, FAILED), None);
            }
            assert_eq!(settle(&mut scope, ScopeResult::Success), None);
            assert!(scope.has_no_failures());
        }
        assert!(!opened().admits(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_one_trial_at_a_time_and_pauses_double_up_to_the_limit() {
        let mut scope = opened();
        for seconds in [1, 2, 4, 8, 15, 15] {
            waits(&scope, Duration::from_secs(seconds)).await;
            assert!(scope.begin_call());
            assert!(!scope.admits(Instant::now()), "one at a time");
            assert_eq!(scope.settle(FAILED, true), None);
        }
        tokio::time::advance(MAX_PAUSE).await;
        assert_eq!(settle(&mut scope, ScopeResult::Success), Some(StateChange::Closed));
        for _ in 1..FAILURES_TO_OPEN {
            assert_eq!(settle(&mut scope, FAILED), None, "it counts from the beginning");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_without_a_result_is_replaced_by_another() {
        let mut scope = opened();
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(scope.begin_call());
        scope.cancel_trial();
        assert_eq!(settle(&mut scope, ScopeResult::Ignored), None);
        assert_eq!(settle(&mut scope, ScopeResult::Success), Some(StateChange::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_began_before_the_opening_do_not_count() {
        let mut scope = ScopeBreaker::new();
        let mut opened = 0;
        for number in 0..20 {
            let result = if number == 19 { ScopeResult::Success } else { FAILED };
            opened += usize::from(scope.settle(result, false) == Some(StateChange::Opened));
        }
        assert_eq!(opened, 1);
        waits(&scope, FIRST_PAUSE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_limited() {
        for (asked, held) in [(1, 1), (5, 5), (6, 5), (u64::MAX, 5)] {
            let mut scope = ScopeBreaker::new();
            let hold = ScopeResult::RetryAfter(Duration::from_secs(asked));
            assert_eq!(settle(&mut scope, hold), Some(StateChange::Opened));
            waits(&scope, Duration::from_secs(held)).await;
            assert_eq!(settle(&mut scope, hold), None, "it may be told to wait again");
            waits(&scope, Duration::from_secs(held)).await;
            assert_eq!(settle(&mut scope, ScopeResult::Success), Some(StateChange::Closed));
        }
    }
}
