//! Limits the retries of an operation by its total time, and waits between them.

use crate::sealing::random::jitter;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const MIN_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Maximum random addition to `Retry-After`, so that clients do not all return at once.
const MAX_JITTER: Duration = Duration::from_millis(250);

/// The time limit of an operation, and the next wait.
pub struct RetryBudget {
    deadline: Instant,
    wait: Duration,
}

impl RetryBudget {
    /// Starts now, with this time limit.
    pub fn new(total: Duration) -> Self {
        // A limit beyond the clock's range becomes one day.
        let now = Instant::now();
        let deadline = now.checked_add(total).unwrap_or(now + Duration::from_hours(24));
        Self { deadline, wait: MIN_WAIT }
    }

    /// The remaining time, zero after the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Reduces the remaining time to at most `max`.
    pub fn shorten(&mut self, max: Duration) {
        self.deadline = self.deadline.min(Instant::now() + max);
    }

    /// Waits before the next attempt, at least for the server's `Retry-After` if there is one. Returns false, without waiting,
    /// if the wait would take all of the remaining time.
    pub async fn wait(&mut self, retry_after: Option<Duration>) -> bool {
        let wait = match retry_after {
            Some(asked) => asked.saturating_add(MAX_JITTER.mul_f64(jitter(0.0..1.0))),
            None => self.wait.mul_f64(jitter(0.5..1.0)),
        };
        self.wait = (self.wait * 2).min(MAX_WAIT);
        if wait >= self.remaining() {
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
    async fn waits_grow_until_the_time_limit() {
        let mut retry_budget = RetryBudget::new(Duration::from_mins(1));
        let (mut waits, mut before) = (Vec::new(), retry_budget.remaining());
        while retry_budget.wait(None).await {
            waits.push(before.saturating_sub(retry_budget.remaining()));
            before = retry_budget.remaining();
        }
        assert!(waits[0] >= MIN_WAIT / 2 && waits[0] <= MIN_WAIT, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= MAX_WAIT), "{waits:?}");
        assert!((12..30).contains(&waits.len()), "{waits:?}");
        assert!(retry_budget.remaining() <= MAX_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_respected_and_refused_beyond_the_time_limit() {
        let mut retry_budget = RetryBudget::new(Duration::from_secs(10));
        let started = Instant::now();
        assert!(retry_budget.wait(Some(Duration::from_secs(3))).await);
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(3) + MAX_JITTER * 2, "{took:?}");
        assert!(!retry_budget.wait(Some(Duration::from_secs(8))).await);
        assert_eq!(started.elapsed(), took, "it does not wait in vain");
        assert!(!retry_budget.wait(Some(Duration::MAX)).await);
        retry_budget.shorten(Duration::ZERO);
        assert!(!retry_budget.wait(None).await);
    }
}
