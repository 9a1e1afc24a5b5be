//! The breaker of a mount or a path: closed, open, or half-open with one trial call under way.

use super::tally::{Failure, Tally};
use std::time::Duration;
use tokio::time::Instant;

/// The first pause after opening.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause; it doubles with each failed trial.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The upper bound of the server's `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The result of a call, as it counts for a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It serves.
    Good,
    /// No information.
    Neutral,
    /// It does not serve.
    Bad(Failure),
    /// It does not serve, with a `Retry-After`.
    Hold(Duration),
}

/// A change of state, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Calls are suspended.
    Opened,
    /// Calls are resumed.
    Closed,
}

/// The state of a scope.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    /// Calls are made.
    Closed(Tally),
    /// Suspended until then. `pause` is the least next pause.
    Open { until: Instant, pause: Duration },
    /// One trial call is under way.
    HalfOpen { pause: Duration },
}

impl Scope {
    /// A closed breaker.
    pub(super) fn new() -> Self {
        Self::Closed(Tally::default())
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
    pub(super) fn begin(&mut self) -> bool {
        let Self::Open { pause, .. } = *self else { return false };
        *self = Self::HalfOpen { pause };
        true
    }

    /// The trial was dropped. Another call may be the trial at once.
    pub(super) fn give_up(&mut self) {
        if let Self::HalfOpen { pause } = *self {
            *self = Self::Open { until: Instant::now(), pause };
        }
    }

    /// Counts the result of a call; `decides` is what [`Self::begin`] returned for it.
    pub(super) fn settle(&mut self, mark: Mark, decides: bool) -> Option<Change> {
        let (next, change) = match (*self, mark) {
            (Self::Closed(_), Mark::Good) => (Self::new(), None),
            (Self::Closed(mut tally), Mark::Bad(failure)) => {
                if tally.add(failure) {
                    (Self::open_for(FIRST_PAUSE), Some(Change::Opened))
                } else {
                    (Self::Closed(tally), None)
                }
            }
            (Self::Closed(_), Mark::Hold(wait)) => (Self::held(wait, FIRST_PAUSE), Some(Change::Opened)),
            (Self::HalfOpen { .. }, Mark::Good) if decides => (Self::new(), Some(Change::Closed)),
            (Self::HalfOpen { pause }, Mark::Bad(_)) if decides => {
                (Self::open_for(pause.saturating_mul(2).min(LONGEST_PAUSE)), None)
            }
            (Self::HalfOpen { pause }, Mark::Hold(wait)) if decides => (Self::held(wait, pause), None),
            (Self::HalfOpen { pause }, Mark::Neutral) if decides => (Self::Open { until: Instant::now(), pause }, None),
            // A call from before the opening adds nothing.
            (now, _) => (now, None),
        };
        *self = next;
        change
    }

    /// Whether it has no recent failure.
    pub(super) fn has_no_failures(&self) -> bool {
        matches!(self, Self::Closed(tally) if *tally == Tally::default())
    }

    /// Whether calls are made.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// No call is made for a pause.
    fn open_for(pause: Duration) -> Self {
        Self::Open { until: Instant::now() + pause, pause }
    }

    /// No call is made for as long as the server asks, up to the limit.
    fn held(wait: Duration, pause: Duration) -> Self {
        Self::Open { until: Instant::now() + wait.min(MAX_RETRY_AFTER), pause }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::FAILURES;
    use super::*;

    const JUST_BEFORE: Duration = Duration::from_millis(1);
    const BAD: Mark = Mark::Bad(Failure::Whole);

    fn settle(scope: &mut Scope, mark: Mark) -> Option<Change> {
        assert!(scope.admits(Instant::now()), "a call may be made");
        let decides = scope.begin();
        scope.settle(mark, decides)
    }

    fn opened() -> Scope {
        let mut scope = Scope::new();
        for number in 1..=FAILURES {
            let change = settle(&mut scope, BAD);
            assert_eq!(change, (number == FAILURES).then_some(Change::Opened));
        }
        scope
    }

    /// Asserts that no call may be made before a wait is over, and one after it.
    async fn waits(scope: &Scope, wait: Duration) {
        tokio::time::advance(wait.saturating_sub(JUST_BEFORE)).await;
        assert!(!scope.admits(Instant::now()), "before {wait:?}");
        tokio::time::advance(JUST_BEFORE).await;
        assert!(scope.admits(Instant::now()), "after {wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_alone() {
        let mut scope = Scope::new();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                assert_eq!(settle(&mut scope, BAD), None);
            }
            assert_eq!(settle(&mut scope, Mark::Good), None);
            assert!(scope.has_no_failures());
        }
        assert!(!opened().admits(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_is_let_through_at_a_time_and_the_pauses_grow_to_their_bound() {
        let mut scope = opened();
        for seconds in [1, 2, 4, 8, 15, 15] {
            waits(&scope, Duration::from_secs(seconds)).await;
            assert!(scope.begin());
            assert!(!scope.admits(Instant::now()), "one at a time");
            assert_eq!(scope.settle(BAD, true), None);
        }
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(settle(&mut scope, Mark::Good), Some(Change::Closed));
        for _ in 1..FAILURES {
            assert_eq!(settle(&mut scope, BAD), None, "it counts from the beginning");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deciding_call_that_is_given_up_or_says_nothing_makes_room_for_another() {
        let mut scope = opened();
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(scope.begin());
        scope.give_up();
        assert_eq!(settle(&mut scope, Mark::Neutral), None);
        assert_eq!(settle(&mut scope, Mark::Good), Some(Change::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_the_opening_decide_nothing() {
        let mut scope = Scope::new();
        let mut opened = 0;
        for number in 0..20 {
            let mark = if number == 19 { Mark::Good } else { BAD };
            opened += usize::from(scope.settle(mark, false) == Some(Change::Opened));
        }
        assert_eq!(opened, 1);
        waits(&scope, FIRST_PAUSE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_may_ask_for_some_seconds_and_no_more() {
        for (asked, held) in [(1, 1), (5, 5), (6, 5), (u64::MAX, 5)] {
            let mut scope = Scope::new();
            let hold = Mark::Hold(Duration::from_secs(asked));
            assert_eq!(settle(&mut scope, hold), Some(Change::Opened));
            waits(&scope, Duration::from_secs(held)).await;
            assert_eq!(settle(&mut scope, hold), None, "it may be told to wait again");
            waits(&scope, Duration::from_secs(held)).await;
            assert_eq!(settle(&mut scope, Mark::Good), Some(Change::Closed));
        }
    }
}
