//! The circuit breaker before one server: after some calls in a row that it did not serve, nobody waits for it any more
//! but one probe at a time.
//!
//! Who makes the calls gives the verdicts, and judges the server, not the secret: an answer that came whole and is about
//! a path shows that the server works, whatever it says. A path that is always broken therefore never holds back its
//! neighbours.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many calls in a row have to fail until none is made.
const FAILURES: u32 = 5;
/// How long after that the first probe is let through.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait for a probe, after doubling with each one that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The longest that a server may ask us to wait.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// What a call says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It serves.
    Served,
    /// It does not: no whole answer, overloaded, sealed.
    Failed,
    /// It does not, and says when to come back.
    Hold(Duration),
}

/// The breaker of one server.
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// Calls are made.
    Closed { failures: u32 },
    /// None is made until then. `pause` is how long the next wait is at least.
    Open { until: Instant, pause: Duration },
    /// One is under way; it decides.
    HalfOpen { pause: Duration },
}

/// What a verdict changed, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// From now on no calls are made.
    Opened,
    /// Calls are made again.
    Closed,
}

impl Breaker {
    /// Closed: calls are made.
    pub(super) const fn new() -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// The permission to make a call; none while the server is left alone.
    pub(super) fn admit(&self) -> Option<Pass<'_>> {
        let mut state = self.state();
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { until, pause } if until <= Instant::now() => {
                *state = State::HalfOpen { pause };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => return None,
        };
        Some(Pass { breaker: self, probe })
    }

    /// A panic while the state was held leaves it whole: it is replaced as one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permission to make one call. Dropped without a verdict, a probe lets another one try.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Pass<'_> {
    /// Says what came of the call.
    pub(super) fn settle(mut self, verdict: Verdict) -> Option<Change> {
        let probe = std::mem::take(&mut self.probe);
        let mut state = self.breaker.state();
        let (next, change) = match (*state, verdict) {
            (State::Closed { .. }, Verdict::Served) => (State::Closed { failures: 0 }, None),
            (State::Closed { failures }, Verdict::Failed) if failures + 1 < FAILURES => {
                (State::Closed { failures: failures + 1 }, None)
            }
            (State::Closed { .. }, Verdict::Failed) => (State::paused(FIRST_PAUSE), Some(Change::Opened)),
            (State::Closed { .. }, Verdict::Hold(wait)) => (State::held(wait, FIRST_PAUSE), Some(Change::Opened)),
            (State::HalfOpen { .. }, Verdict::Served) if probe => (State::Closed { failures: 0 }, Some(Change::Closed)),
            (State::HalfOpen { pause }, Verdict::Failed) if probe => {
                (State::paused(pause.saturating_mul(2).min(LONGEST_PAUSE)), None)
            }
            (State::HalfOpen { pause }, Verdict::Hold(wait)) if probe => (State::held(wait, pause), None),
            // A call from before the opening: what it has to say is known.
            (now, _) => (now, None),
        };
        *state = next;
        change
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            let mut state = self.breaker.state();
            if let State::HalfOpen { pause } = *state {
                *state = State::Open { until: Instant::now(), pause };
            }
        }
    }
}

impl State {
    /// No call is made for a pause.
    fn paused(pause: Duration) -> Self {
        Self::Open { until: Instant::now() + pause, pause }
    }

    /// No call is made for as long as the server asks, within the bound.
    fn held(wait: Duration, pause: Duration) -> Self {
        Self::Open { until: Instant::now() + wait.min(LONGEST_HOLD), pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUST_BEFORE: Duration = Duration::from_millis(1);

    fn settle(breaker: &Breaker, verdict: Verdict) -> Option<Change> {
        breaker.admit().expect("a call may be made").settle(verdict)
    }

    fn opened() -> Breaker {
        let breaker = Breaker::new();
        for number in 1..=FAILURES {
            let change = settle(&breaker, Verdict::Failed);
            assert_eq!(change, (number == FAILURES).then_some(Change::Opened));
        }
        breaker
    }

    /// Asserts that no call may be made before a wait is over, and one after it.
    async fn waits(breaker: &Breaker, wait: Duration) {
        tokio::time::advance(wait.saturating_sub(JUST_BEFORE)).await;
        assert!(breaker.admit().is_none(), "before {wait:?}");
        tokio::time::advance(JUST_BEFORE).await;
        assert!(breaker.admit().is_some(), "after {wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_alone() {
        let breaker = Breaker::new();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                assert_eq!(settle(&breaker, Verdict::Failed), None);
            }
            assert_eq!(settle(&breaker, Verdict::Served), None);
        }
        assert!(opened().admit().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_is_let_through_at_a_time_and_the_pauses_grow_to_their_bound() {
        let breaker = opened();
        for seconds in [1, 2, 4, 8, 15, 15] {
            waits(&breaker, Duration::from_secs(seconds)).await;
            let probe = breaker.admit().unwrap();
            assert!(breaker.admit().is_none(), "one at a time");
            assert_eq!(probe.settle(Verdict::Failed), None);
        }
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(settle(&breaker, Verdict::Served), Some(Change::Closed));
        let _many = (breaker.admit().unwrap(), breaker.admit().unwrap());
        for _ in 1..FAILURES {
            assert_eq!(settle(&breaker, Verdict::Failed), None, "it counts from the beginning");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_makes_room_for_another() {
        let breaker = opened();
        tokio::time::advance(FIRST_PAUSE).await;
        drop(breaker.admit().unwrap());
        assert_eq!(settle(&breaker, Verdict::Served), Some(Change::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_the_opening_decide_nothing() {
        let breaker = Breaker::new();
        let early: Vec<_> = (0..20).map(|_| breaker.admit().unwrap()).collect();
        let mut opened = 0;
        for (number, pass) in early.into_iter().enumerate() {
            let verdict = if number == 19 { Verdict::Served } else { Verdict::Failed };
            opened += usize::from(pass.settle(verdict) == Some(Change::Opened));
        }
        assert_eq!(opened, 1);
        waits(&breaker, FIRST_PAUSE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_may_ask_for_some_seconds_and_no_more() {
        for (asked, held) in [(1, 1), (5, 5), (6, 5), (u64::MAX, 5)] {
            let breaker = Breaker::new();
            let hold = Verdict::Hold(Duration::from_secs(asked));
            assert_eq!(settle(&breaker, hold), Some(Change::Opened));
            waits(&breaker, Duration::from_secs(held)).await;
            assert_eq!(settle(&breaker, hold), None, "a probe may be told to wait too");
            waits(&breaker, Duration::from_secs(held)).await;
            assert_eq!(settle(&breaker, Verdict::Served), Some(Change::Closed));
        }
    }
}
