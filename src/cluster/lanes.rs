//! How many calls may be under way at once, and how many may wait for them.

use super::error::CallFailure;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// So many lanes, and a line of bounded length before them.
pub struct Lanes {
    /// In a lane or in the line.
    present: Semaphore,
    running: Semaphore,
}

/// A lane that is taken until this is dropped.
pub struct Lane<'a> {
    _present: SemaphorePermit<'a>,
    _running: SemaphorePermit<'a>,
}

impl Lanes {
    /// `lanes` calls at once; `waiting` more may stand in line.
    pub fn new(lanes: usize, waiting: usize) -> Self {
        Self { present: Semaphore::new(lanes + waiting), running: Semaphore::new(lanes) }
    }

    /// Waits for a lane, first come first served.
    ///
    /// # Errors
    /// [`CallFailure::Busy`] when the line is full, or no lane becomes free before the deadline.
    pub async fn enter(&self, deadline: Instant) -> Result<Lane<'_>, CallFailure> {
        let present = self.present.try_acquire().map_err(|_| CallFailure::Busy)?;
        match timeout_at(deadline, self.running.acquire()).await {
            Ok(Ok(running)) => Ok(Lane { _present: present, _running: running }),
            _ => Err(CallFailure::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn who_finds_the_line_full_is_sent_away_and_who_waits_too_long_too() {
        let lanes = Lanes::new(1, 1);
        let soon = Instant::now() + Duration::from_secs(5);
        let first = lanes.enter(soon).await.expect("the lane is free");
        {
            let mut second = std::pin::pin!(lanes.enter(soon));
            assert!(second.as_mut().now_or_never().is_none(), "the second waits");
            assert_eq!(lanes.enter(soon).await.err(), Some(CallFailure::Busy), "the third finds the line full");
            drop(first);
            assert!(second.await.is_ok(), "the second's turn");
        }
        let _held = lanes.enter(soon).await.expect("free again");
        assert_eq!(lanes.enter(soon).await.err(), Some(CallFailure::Busy), "the deadline passed");
        assert_eq!(Instant::now(), soon);
    }
}
