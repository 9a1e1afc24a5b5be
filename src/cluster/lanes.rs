//! Limits for concurrent and waiting calls.

use super::error::CallFailure;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// A semaphore with a bounded queue.
pub struct Lanes {
    /// Running and waiting calls.
    present: Semaphore,
    running: Semaphore,
}

/// A slot, taken until this value is dropped.
pub struct Lane<'a> {
    _present: SemaphorePermit<'a>,
    _running: SemaphorePermit<'a>,
}

impl Lanes {
    /// Allows `lanes` concurrent calls and `waiting` queued ones.
    pub fn new(lanes: usize, waiting: usize) -> Self {
        Self { present: Semaphore::new(lanes + waiting), running: Semaphore::new(lanes) }
    }

    /// Waits for a slot, first come, first served.
    ///
    /// # Errors
    /// [`CallFailure::Busy`] if the queue is full, or if no slot becomes free before the deadline.
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
