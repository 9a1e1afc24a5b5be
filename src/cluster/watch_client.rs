//! The client of `kube` under a watch: our connections and credentials, with bounds that the library lacks.
//!
//! `kube` collects the answer to a list, and each line of a watch, in memory without a bound, and waits for the next line as long as
//! the connection seems to be open.

use super::client::Cluster;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, header};
use hyper::body::{Body as HttpBody, Frame};
use kube::client::Body;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tower::{BoxError, Service};

/// From sending a request until its answer begins.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a watch may be silent. The API server ends each after [`WATCH_SECONDS`].
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long one watch is asked to last. A dead connection is noticed soon after.
pub(super) const WATCH_SECONDS: u32 = 60;
/// The longest line of a watch: one object. etcd holds at most 1.5 MiB of each, unless it is told otherwise.
const MAX_EVENT_BYTES: usize = 8 << 20;
/// The longest answer to a list.
const MAX_PAGE_BYTES: usize = 96 << 20;
/// Objects in one answer to a list.
pub(super) const PAGE: u32 = 50;

/// Sends by the connection that is in force when a request is made.
struct WatchService(Arc<Cluster>);

impl Cluster {
    /// A client for a watch.
    pub(super) fn watch_client(self: &Arc<Self>) -> kube::Client {
        kube::Client::new(WatchService(self.clone()), self.link.load().client.default_namespace())
    }
}

impl Service<Request<Body>> for WatchService {
    type Response = Response<BoundedBody<Body>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let cluster = self.0.clone();
        Box::pin(async move {
            let link = cluster.link.load_full();
            if let Some(authorization) = &link.authorization {
                request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
            }
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
            let answer = timeout(RESPONSE_TIMEOUT, link.client.send(request)).await.map_err(|_| timed_out())??;
            Ok(answer.map(|body| BoundedBody::new(body, if is_watch { MAX_EVENT_BYTES } else { MAX_PAGE_BYTES })))
        })
    }
}

/// A body that ends with an error when it is silent for too long, or has too long a line.
pub(super) struct BoundedBody<B> {
    body: B,
    max_line: usize,
    /// Bytes since the last line end.
    line: usize,
    silent_until: Pin<Box<Sleep>>,
}

impl<B> BoundedBody<B> {
    fn new(body: B, max_line: usize) -> Self {
        Self { body, max_line, line: 0, silent_until: Box::pin(sleep_until(Instant::now() + IDLE_TIMEOUT)) }
    }

    /// Counts what came.
    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), BoxError> {
        for part in frame.data_ref().iter().flat_map(|data| data.split_inclusive(|byte| *byte == b'\n')) {
            self.line += part.len();
            if self.line > self.max_line {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large").into());
            }
            if part.ends_with(b"\n") {
                self.line = 0;
            }
        }
        Ok(())
    }
}

impl<B> HttpBody for BoundedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silent_until.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
                let taken = self.take(&frame);
                Poll::Ready(Some(taken.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.silent_until.as_mut().poll(context));
                Poll::Ready(Some(Err(timed_out())))
            }
        }
    }
}

fn timed_out() -> BoxError {
    // Not `TimedOut`: the library takes that for the end of a watch that may go on from where it was.
    io::Error::new(io::ErrorKind::ConnectionAborted, "no answer in time").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn read(parts: &'static [&'static [u8]], max_line: usize) -> Result<usize, BoxError> {
        let parts = futures_util::stream::iter(parts.iter().map(|part| Ok::<_, io::Error>(Bytes::from_static(part))));
        let frames = futures_util::StreamExt::map(parts, |part| part.map(Frame::data));
        let body = http_body_util::StreamBody::new(frames);
        Ok(BoundedBody::new(body, max_line).collect().await?.to_bytes().len())
    }

    #[tokio::test]
    async fn a_line_is_bounded_and_not_the_number_of_lines() {
        assert_eq!(read(&[b"12\n34", b"\n56\n"], 3).await.expect("short lines"), 9);
        assert_eq!(read(&[b"1", b"2", b"3"], 3).await.expect("one short line"), 3);
        assert!(read(&[b"12\n345", b"6"], 3).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it() {
        let forever = futures_util::stream::pending::<Result<Frame<Bytes>, io::Error>>();
        let body = http_body_util::StreamBody::new(forever);
        let began = Instant::now();
        assert!(BoundedBody::new(body, 10).collect().await.is_err());
        assert_eq!(began.elapsed().as_secs(), IDLE_TIMEOUT.as_secs());
    }
}
