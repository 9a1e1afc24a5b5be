//! Serves HTTP/1.1 on plain or TLS connections, with a time limit at each stage of a connection.
//!
//! Replaces `axum::serve`, which has no time limits and, in tests, kept every slow connection open indefinitely.

use super::accept::Acceptor;
use super::head_scan::Scanned;
use super::responses::CloseWithoutResponse;
use super::slow_client::SlowClientLimit;
use crate::metrics::Metrics;
use axum::Router;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Maximum size of a request head. A bearer token has at most 16 KiB.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// Time limit for requests in progress once shutdown has begun.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long, once shutdown has begun, a connection without a request so far waits for its first one.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Once shutdown has begun, the listener closes after this time without a new connection: clients that were routed here before
/// may still connect.
const CLOSE_AFTER_IDLE: Duration = Duration::from_millis(50);
/// Maximum time from the beginning of shutdown until the listener closes.
const MAX_CLOSE_DELAY: Duration = Duration::from_secs(1);

/// Limits of connections.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Time limit for the TLS handshake, and for receiving the head of each request, idle time included.
    pub header_timeout: Duration,
    /// Time limit for a write without progress: the budget of `slow_client`.
    pub write_timeout: Duration,
    /// Maximum number of open connections; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Proxies, to which the limit of connections per address does not apply.
    pub proxies: Arc<[IpNet]>,
}

/// Serves until `shutdown`, then waits for requests in progress. With metrics, connections are counted.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsSource>,
    router: Router,
    limits: ServeLimits,
    metrics: Option<Arc<Metrics>>,
    mut shutdown: watch::Receiver<bool>,
) {
    if let Some(metrics) = &metrics {
        metrics.set_connections_limit(limits.max_connections);
    }
    let mut acceptor = Acceptor::new(listener, limits.max_connections, limits.proxies.clone());
    let stopping = shutdown.clone();
    let spawn_connection = |(stream, peer, slot)| {
        let (tls, router, limits, shutdown) = (tls.clone(), router.clone(), limits.clone(), stopping.clone());
        let open = metrics.as_ref().map(|metrics| metrics.open_connection());
        tokio::spawn(async move {
            let (_open, _slot) = (open, slot);
            serve_connection(stream, peer, tls, router, &limits, shutdown).await;
        });
    };
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        accepted.map(spawn_connection);
    }
    let close_deadline = Instant::now() + MAX_CLOSE_DELAY;
    while Instant::now() < close_deadline
        && let Ok(accepted) = timeout(CLOSE_AFTER_IDLE, acceptor.accept()).await
    {
        accepted.map(spawn_connection);
    }
    // Connections that are still open after the timeout end with the process.
    let _ = timeout(DRAIN_TIMEOUT, acceptor.close()).await;
}

/// Returns the current TLS settings. Called for each connection, because certificates are reloaded.
pub type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsSource>,
    router: Router,
    limits: &ServeLimits,
    shutdown: watch::Receiver<bool>,
) {
    // Responses are single writes, which Nagle's algorithm would only delay.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(stream, peer, router, limits, shutdown).await,
        Some(settings) => {
            let handshake = TlsAcceptor::from(settings()).accept(stream);
            if let Ok(Ok(stream)) = timeout(limits.header_timeout, handshake).await {
                serve_http(stream, peer, router, limits, shutdown).await;
            }
        }
    }
}

/// The connection is closed without a response, because the outcome of the request is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed without a response")]
struct NoResponseError;

impl From<Infallible> for NoResponseError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Turns a response with the extension [`CloseWithoutResponse`] into an error, on which hyper closes the connection.
fn close_without_response(result: Result<Response, Infallible>) -> Result<Response, NoResponseError> {
    let Ok(response) = result;
    let is_unsent = response.extensions().get::<CloseWithoutResponse>().is_some();
    if is_unsent { Err(NoResponseError) } else { Ok(response) }
}

async fn serve_http<S: AsyncRead + AsyncWrite + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: &ServeLimits,
    mut shutdown: watch::Receiver<bool>,
) {
    let stream = SlowClientLimit::new(Box::pin(stream), limits.write_timeout);
    let first_request = Arc::new(Notify::new());
    let notifier = first_request.clone();
    let service = router
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            notifier.notify_one();
            request.extensions_mut().insert(peer);
            request
        })
        .map_result(close_without_response);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // Nothing is read while a request is handled: a read would need another buffer, only to detect that the client has
        // disconnected, which has no effect (`detached_handler`).
        .half_close(true)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Scanned::new(stream)), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let is_shutting_down = tokio::select! {
        // The result is ignored: it depends on the peer, and requests are counted elsewhere.
        _ = connection.as_mut() => false,
        _ = shutdown.wait_for(|stop| *stop) => true,
    };
    if is_shutting_down {
        // Waits for a first request, because `graceful_shutdown` closes a connection without one, even if it is about to arrive.
        tokio::select! {
            // Polled before the connection, so that the response to this request already has `Connection: close`.
            biased;
            () = first_request.notified() => {}
            _ = connection.as_mut() => return,
            () = sleep(FIRST_REQUEST_TIMEOUT) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(DRAIN_TIMEOUT, connection).await;
    }
}
