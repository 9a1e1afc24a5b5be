//! Closes a connection whose peer reads too slowly, for example a byte now and then to hold the connection for ever.
//!
//! A write that waits uses up a time budget, and every byte that is sent earns some back. A peer that reads nothing is
//! disconnected when the budget is used up, and one that reads less than [`BYTES_PER_SECOND`] some time later.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Slower than any network that a build runs in, and fast enough that 10,000 such peers are gone within hours.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// A stream whose writes have a time budget.
pub struct SlowClientLimit<S> {
    stream: S,
    /// The largest budget.
    full: Duration,
    /// The rest of the budget.
    left: Duration,
    /// Start and deadline of a write that waits.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> SlowClientLimit<S> {
    /// Disconnects a peer that reads nothing for the time of `budget`.
    pub fn new(stream: S, budget: Duration) -> Self {
        Self { stream, full: budget, left: budget, waiting: None }
    }

    /// Charges the outcome of a write, and fails one that took too long.
    fn charged(&mut self, cx: &mut Context<'_>, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        match written {
            Poll::Pending => {
                let left = self.left;
                let (_, end) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
                end.as_mut().poll(cx).map(|()| Err(Error::from(ErrorKind::TimedOut)))
            }
            Poll::Ready(Ok(count)) => {
                let waited = self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
                let earned = Duration::from_secs(count as u64) / BYTES_PER_SECOND;
                self.left = (self.left.saturating_sub(waited) + earned).min(self.full);
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
        self.charged(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.charged(cx, written)
    }

    /// TLS writes its buffer here, and does not say how many bytes.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 0);
        self.charged(cx, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx).map_ok(|()| 0);
        self.charged(cx, shut).map_ok(|_| ())
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

    /// How long a megabyte takes to a peer that reads `bytes` every `every`; `None` if it is disconnected.
    async fn sends_to(bytes: usize, every: Duration) -> Option<Duration> {
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
        let slow = sends_to(1024, Duration::from_millis(50)).await;
        assert!(slow.is_some_and(|took| took > Duration::from_secs(50)), "{slow:?}");
        // Pauses within the budget are allowed.
        assert!(sends_to(PIPE, Duration::from_millis(10)).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_a_little_now_and_then_is_disconnected() {
        let started = Instant::now();
        for (bytes, every) in [(1, 1), (1, 14), (1024, 1), (1024, 14)] {
            assert_eq!(sends_to(bytes, Duration::from_secs(every)).await, None, "{bytes} bytes every {every} s");
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
