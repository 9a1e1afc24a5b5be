//! The time limit and the retries of an operation: a total limit, and growing random waits.

use crate::sealing::random::jitter;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Random, so that clients with the same `Retry-After` do not all return at once.
const SPREAD: Duration = Duration::from_millis(250);

/// The remaining time.
pub struct RetryBudget {
    until: Instant,
    wait: Duration,
}

impl RetryBudget {
    /// Starts with the whole time.
    pub fn new(total: Duration) -> Self {
        // A limit beyond the clock's range becomes one day.
        let now = Instant::now();
        let until = now.checked_add(total).unwrap_or(now + Duration::from_hours(24));
        Self { until, wait: FIRST_WAIT }
    }

    /// The remaining time.
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Limits the remaining time to this.
    pub fn shorten(&mut self, most: Duration) {
        self.until = self.until.min(Instant::now() + most);
    }

    /// Waits before the next attempt, for as long as the server asked. Returns false at once if that exceeds the
    /// remaining time.
    pub async fn wait(&mut self, told: Option<Duration>) -> bool {
        let wait = match told {
            Some(told) => told.saturating_add(SPREAD.mul_f64(jitter(0.0..1.0))),
            None => self.wait.mul_f64(jitter(0.5..1.0)),
        };
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        if wait >= self.left() {
            return false;
        }
        sleep(wait).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_end() {
        let mut retry_budget = RetryBudget::new(Duration::from_mins(1));
        let (mut waits, mut before) = (Vec::new(), retry_budget.left());
        while retry_budget.wait(None).await {
            waits.push(before.saturating_sub(retry_budget.left()));
            before = retry_budget.left();
        }
        assert!(waits[0] >= FIRST_WAIT / 2 && waits[0] <= FIRST_WAIT, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT), "{waits:?}");
        assert!((12..30).contains(&waits.len()), "{waits:?}");
        assert!(retry_budget.left() <= LONGEST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_when_comes_no_earlier_and_not_at_all_when_that_is_too_late() {
        let mut retry_budget = RetryBudget::new(Duration::from_secs(10));
        let started = Instant::now();
        assert!(retry_budget.wait(Some(Duration::from_secs(3))).await);
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(3) + SPREAD * 2, "{took:?}");
        assert!(!retry_budget.wait(Some(Duration::from_secs(8))).await);
        assert_eq!(started.elapsed(), took, "it does not wait in vain");
        assert!(!retry_budget.wait(Some(Duration::MAX)).await);
        retry_budget.shorten(Duration::ZERO);
        assert!(!retry_budget.wait(None).await);
    }
}
