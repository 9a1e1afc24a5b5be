//! Closes a connection whose peer reads too slowly, such as a peer that reads a byte now and then to hold the connection.
//!
//! A stream has a time budget. A waiting write consumes the budget, and each byte sent adds to it. A peer that reads nothing is
//! disconnected when the budget is consumed; a peer that reads less than [`MIN_BYTES_PER_SECOND`], some time later.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Slower than the network of any build, and so high that even 10,000 slower peers are disconnected within hours.
const MIN_BYTES_PER_SECOND: u32 = 16 * 1024;

/// A stream whose writes have a time budget.
pub struct SlowClientLimit<S> {
    stream: S,
    max_budget: Duration,
    remaining_budget: Duration,
    /// Start and deadline of a write that waits.
    waiting_write: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> SlowClientLimit<S> {
    /// A peer that reads nothing for the time `budget` is disconnected.
    pub fn new(stream: S, budget: Duration) -> Self {
        Self { stream, max_budget: budget, remaining_budget: budget, waiting_write: None }
    }

    /// Charges a write to the budget. Returns its result, or `TimedOut` if the write waits and the budget is used up.
    fn charge(&mut self, cx: &mut Context<'_>, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        match written {
            Poll::Pending => {
                let budget = self.remaining_budget;
                let (_, end) = self.waiting_write.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(budget))));
                end.as_mut().poll(cx).map(|()| Err(Error::from(ErrorKind::TimedOut)))
            }
            Poll::Ready(Ok(count)) => {
                let waited = self.waiting_write.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
                let earned = Duration::from_secs(count as u64) / MIN_BYTES_PER_SECOND;
                self.remaining_budget = (self.remaining_budget.saturating_sub(waited) + earned).min(self.max_budget);
                written
            }
            Poll::Ready(Err(_)) => written,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SlowClientLimit<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SlowClientLimit<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.charge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.charge(cx, written)
    }

    /// TLS sends its buffer here. The number of bytes is unknown, so nothing is added to the budget.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 0);
        self.charge(cx, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx).map_ok(|()| 0);
        self.charge(cx, shut).map_ok(|_| ())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const BUDGET: Duration = Duration::from_secs(15);
    /// Capacity of the pipe in bytes.
    const PIPE: usize = 1024;

    /// Sends a megabyte to a peer that reads `bytes` every `every`. Returns the time it took; `None` if the peer was disconnected.
    async fn send_to(bytes: usize, every: Duration) -> Option<Duration> {
        let (ours, mut theirs) = duplex(PIPE);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            loop {
                tokio::time::sleep(every).await;
                if !matches!(theirs.read(&mut buffer).await, Ok(1..)) {
                    break;
                }
            }
        });
        let started = Instant::now();
        let sent = SlowClientLimit::new(ours, BUDGET).write_all(&vec![0; 1 << 20]).await;
        reader.abort();
        sent.is_ok().then(|| started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_fast_enough_gets_everything() {
        let slow = send_to(1024, Duration::from_millis(50)).await;
        assert!(slow.is_some_and(|took| took > Duration::from_secs(50)), "{slow:?}");
        // Pauses within the budget are allowed.
        assert!(send_to(PIPE, Duration::from_millis(10)).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_too_slowly_is_disconnected() {
        let started = Instant::now();
        for (bytes, every) in [(1, 1), (1, 14), (1024, 1), (1024, 14)] {
            assert_eq!(send_to(bytes, Duration::from_secs(every)).await, None, "{bytes} bytes every {every} s");
            assert!(started.elapsed() < 5 * BUDGET, "it took {:?}", started.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_disconnected_when_the_budget_is_used_up() {
        let (ours, _theirs) = duplex(PIPE);
        let started = Instant::now();
        let error = SlowClientLimit::new(ours, BUDGET).write_all(&[0; 2 * PIPE]).await.expect_err("nobody reads");
        assert_eq!((error.kind(), started.elapsed()), (ErrorKind::TimedOut, BUDGET));
    }
}
