//! The HTTP client that `kube` uses for a watch: the broker's connections and credentials, with the bounds that `kube` lacks.
//!
//! `kube` collects the response to a list, and each line of a watch, in memory without a bound, and waits for the next line as long
//! as the connection seems to be open.

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

/// Time limit from sending a request to the start of its response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit between two parts of a body. It is longer than [`WATCH_SECONDS`], after which the API server ends a watch.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// The requested duration of one watch. It is short, so that a dead connection is detected soon.
pub(super) const WATCH_SECONDS: u32 = 60;
/// Maximum length of a line of a watch, which is one object. By default, etcd stores objects of at most 1.5 MiB.
const MAX_EVENT_BYTES: usize = 8 << 20;
/// Maximum length of the response to a list.
const MAX_PAGE_BYTES: usize = 96 << 20;
/// Number of objects in one response to a list.
pub(super) const PAGE_SIZE: u32 = 50;

/// Sends each request over the cluster's current connection.
struct WatchService(Arc<Cluster>);

impl Cluster {
    pub(super) fn watch_client(self: &Arc<Self>) -> kube::Client {
        kube::Client::new(WatchService(self.clone()), self.connection.load().client.default_namespace())
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
            let connection = cluster.connection.load_full();
            if let Some(authorization) = &connection.authorization {
                request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
            }
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch="));
            let response =
                timeout(RESPONSE_TIMEOUT, connection.client.send(request)).await.map_err(|_| timeout_error())??;
            Ok(response.map(|body| BoundedBody::new(body, if is_watch { MAX_EVENT_BYTES } else { MAX_PAGE_BYTES })))
        })
    }
}

/// A body that ends with an error after [`IDLE_TIMEOUT`] without data, or when a line is longer than `max_line_bytes`.
pub(super) struct BoundedBody<B> {
    body: B,
    max_line_bytes: usize,
    /// Bytes since the last line end.
    line_bytes: usize,
    idle_timer: Pin<Box<Sleep>>,
}

impl<B> BoundedBody<B> {
    fn new(body: B, max_line_bytes: usize) -> Self {
        Self { body, max_line_bytes, line_bytes: 0, idle_timer: Box::pin(sleep_until(Instant::now() + IDLE_TIMEOUT)) }
    }

    /// Counts the bytes of each line. Fails if a line is too long.
    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), BoxError> {
        for part in frame.data_ref().iter().flat_map(|data| data.split_inclusive(|byte| *byte == b'\n')) {
            self.line_bytes += part.len();
            if self.line_bytes > self.max_line_bytes {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large").into());
            }
            if part.ends_with(b"\n") {
                self.line_bytes = 0;
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
                self.idle_timer.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
                let counted = self.count(&frame);
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.idle_timer.as_mut().poll(context));
                Poll::Ready(Some(Err(timeout_error())))
            }
        }
    }
}

fn timeout_error() -> BoxError {
    // Not `TimedOut`: the watcher of `kube` would treat it as the regular end of a watch and resume after the last event.
    io::Error::new(io::ErrorKind::ConnectionAborted, "no response in time").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn read(parts: &'static [&'static [u8]], max_line_bytes: usize) -> Result<usize, BoxError> {
        let parts = futures_util::stream::iter(parts.iter().map(|part| Ok::<_, io::Error>(Bytes::from_static(part))));
        let frames = futures_util::StreamExt::map(parts, |part| part.map(Frame::data));
        let body = http_body_util::StreamBody::new(frames);
        Ok(BoundedBody::new(body, max_line_bytes).collect().await?.to_bytes().len())
    }

    #[tokio::test]
    async fn the_length_of_a_line_is_bounded_but_not_the_number_of_lines() {
        assert_eq!(read(&[b"12\n34", b"\n56\n"], 3).await.expect("short lines"), 9);
        assert_eq!(read(&[b"1", b"2", b"3"], 3).await.expect("one short line"), 3);
        assert!(read(&[b"12\n345", b"6"], 3).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_data_fails_after_the_idle_timeout() {
        let pending = futures_util::stream::pending::<Result<Frame<Bytes>, io::Error>>();
        let body = http_body_util::StreamBody::new(pending);
        let started_at = Instant::now();
        assert!(BoundedBody::new(body, 10).collect().await.is_err());
        assert_eq!(started_at.elapsed().as_secs(), IDLE_TIMEOUT.as_secs());
    }
}
