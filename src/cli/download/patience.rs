//! How long and how often something is tried: a bound for all of it, waits that grow, and chance in them.

use crate::sealing::random::jitter;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// So that those who were told to come back in a second do not all come at once.
const SPREAD: Duration = Duration::from_millis(250);

/// What is left of it.
pub struct Patience {
    until: Instant,
    wait: Duration,
}

impl Patience {
    /// All of it.
    pub fn new(total: Duration) -> Self {
        // A bound too far away to be told is a day away.
        let now = Instant::now();
        let until = now.checked_add(total).unwrap_or(now + Duration::from_hours(24));
        Self { until, wait: FIRST_WAIT }
    }

    /// How long it lasts.
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// At most this much from now on.
    pub fn shorten(&mut self, most: Duration) {
        self.until = self.until.min(Instant::now() + most);
    }

    /// Waits before the next attempt, as long as the server said where it said. False, at once, where that would take
    /// too long.
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
        let mut patience = Patience::new(Duration::from_mins(1));
        let (mut waits, mut before) = (Vec::new(), patience.left());
        while patience.wait(None).await {
            waits.push(before.saturating_sub(patience.left()));
            before = patience.left();
        }
        assert!(waits[0] >= FIRST_WAIT / 2 && waits[0] <= FIRST_WAIT, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT), "{waits:?}");
        assert!((12..30).contains(&waits.len()), "{waits:?}");
        assert!(patience.left() <= LONGEST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_when_comes_no_earlier_and_not_at_all_when_that_is_too_late() {
        let mut patience = Patience::new(Duration::from_secs(10));
        let started = Instant::now();
        assert!(patience.wait(Some(Duration::from_secs(3))).await);
        let took = started.elapsed();
        assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(3) + SPREAD * 2, "{took:?}");
        assert!(!patience.wait(Some(Duration::from_secs(8))).await);
        assert_eq!(started.elapsed(), took, "it does not wait in vain");
        assert!(!patience.wait(Some(Duration::MAX)).await);
        patience.shorten(Duration::ZERO);
        assert!(!patience.wait(None).await);
    }
}
