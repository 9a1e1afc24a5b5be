//! Limits the concurrent and the waiting calls to an API server.

use super::call_failure::CallFailure;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// A semaphore with a bounded queue.
pub struct CallLimit {
    /// Running and waiting calls.
    admitted: Semaphore,
    running: Semaphore,
}

/// A slot for one call, which is released when this value is dropped.
pub struct Slot<'a> {
    _admitted: SemaphorePermit<'a>,
    _running: SemaphorePermit<'a>,
}

impl CallLimit {
    /// Allows `concurrent` calls at the same time and `waiting` queued ones.
    pub fn new(concurrent: usize, waiting: usize) -> Self {
        Self { admitted: Semaphore::new(concurrent + waiting), running: Semaphore::new(concurrent) }
    }

    /// Waits for a slot, in the order of the calls.
    ///
    /// # Errors
    /// [`CallFailure::CallLimit`] if the queue is full, or if no slot becomes free before the deadline.
    pub async fn enter(&self, deadline: Instant) -> Result<Slot<'_>, CallFailure> {
        let admitted = self.admitted.try_acquire().map_err(|_| CallFailure::CallLimit)?;
        match timeout_at(deadline, self.running.acquire()).await {
            Ok(Ok(running)) => Ok(Slot { _admitted: admitted, _running: running }),
            _ => Err(CallFailure::CallLimit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_call_fails_if_the_queue_is_full_or_the_deadline_passes() {
        let call_limit = CallLimit::new(1, 1);
        let soon = Instant::now() + Duration::from_secs(5);
        let first = call_limit.enter(soon).await.expect("a slot is free");
        {
            let mut second = std::pin::pin!(call_limit.enter(soon));
            assert!(second.as_mut().now_or_never().is_none(), "the second waits");
            assert_eq!(call_limit.enter(soon).await.err(), Some(CallFailure::CallLimit), "the queue is full");
            drop(first);
            assert!(second.await.is_ok(), "the second gets the released slot");
        }
        let _slot = call_limit.enter(soon).await.expect("free again");
        assert_eq!(call_limit.enter(soon).await.err(), Some(CallFailure::CallLimit), "the deadline passed");
        assert_eq!(Instant::now(), soon);
    }
}
