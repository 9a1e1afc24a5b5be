//! A connection whose peer must read what it is sent at some pace: one that takes a byte now and then, so as to hold the
//! connection for ever, is closed.
//!
//! A write that has to wait spends patience, and every byte that goes out earns some back. So a peer that takes nothing is
//! let go when the patience is at its end, and one that takes less than [`BYTES_PER_SECOND`] a while later.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Slower than any network that a build runs in, and fast enough that 10,000 such peers do not outlast an afternoon.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// A stream with a peer that must keep pace.
pub struct Paced<S> {
    stream: S,
    /// The most patience there is.
    longest: Duration,
    /// What is left of it.
    patience: Duration,
    /// Since when a write has been waiting, and until when it may.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Paced<S> {
    /// Lets go of a peer that takes nothing for so long.
    pub fn new(stream: S, patience: Duration) -> Self {
        Self { stream, longest: patience, patience, waiting: None }
    }

    /// Bears in mind what became of a write, and ends one that took too long.
    fn paced(&mut self, cx: &mut Context<'_>, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        match written {
            Poll::Pending => {
                let patience = self.patience;
                let (_, end) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
                end.as_mut().poll(cx).map(|()| Err(Error::from(ErrorKind::TimedOut)))
            }
            Poll::Ready(Ok(count)) => {
                let waited = self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
                let earned = Duration::from_secs(count as u64) / BYTES_PER_SECOND;
                self.patience = (self.patience.saturating_sub(waited) + earned).min(self.longest);
                written
            }
            Poll::Ready(Err(_)) => written,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.paced(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.paced(cx, written)
    }

    /// TLS writes what it holds here: how much, it does not tell.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx).map_ok(|()| 0);
        self.paced(cx, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx).map_ok(|()| 0);
        self.paced(cx, shut).map_ok(|_| ())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const PATIENCE: Duration = Duration::from_secs(15);
    /// What the pipe between the two holds.
    const PIPE: usize = 1024;

    /// How long a megabyte takes to a peer that reads so many bytes every so often; `None` where it is let go.
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
        let sent = Paced::new(ours, PATIENCE).write_all(&vec![0; 1 << 20]).await;
        reader.abort();
        sent.is_ok().then(|| started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_keeps_pace_gets_everything() {
        let slow = sends_to(1024, Duration::from_millis(50)).await;
        assert!(slow.is_some_and(|took| took > Duration::from_secs(50)), "{slow:?}");
        // A pause within the patience is forgiven.
        assert!(sends_to(PIPE, Duration::from_millis(10)).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_let_go() {
        let started = Instant::now();
        for (bytes, every) in [(1, 1), (1, 14), (1024, 1), (1024, 14)] {
            assert_eq!(sends_to(bytes, Duration::from_secs(every)).await, None, "{bytes} bytes every {every} s");
            assert!(started.elapsed() < 5 * PATIENCE, "it took {:?}", started.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_let_go_after_just_that_long() {
        let (ours, _theirs) = duplex(PIPE);
        let started = Instant::now();
        let error = Paced::new(ours, PATIENCE).write_all(&[0; 2 * PIPE]).await.expect_err("nobody reads");
        assert_eq!((error.kind(), started.elapsed()), (ErrorKind::TimedOut, PATIENCE));
    }
}
