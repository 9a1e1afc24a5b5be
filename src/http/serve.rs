//! The accept loop: HTTP/1.1 on plain or TLS connections, with a time limit at each stage of a connection.
//!
//! Own code, because `axum::serve` has no limits: in tests it kept every slow connection open indefinitely.

use super::accept::Acceptor;
use super::answer::Dropped;
use super::head_scan::Scanned;
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

/// Largest request head. A bearer token has at most 16 KiB.
const HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// Time limit for requests under way once shutdown has begun.
const DRAIN: Duration = Duration::from_secs(5);
/// During shutdown: time limit for the first request of a new connection.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Clients that were routed here before shutdown may still connect. The listener closes after this time without a
/// new connection.
const CLOSE_AFTER_IDLE: Duration = Duration::from_millis(50);
/// Maximum time until the listener closes.
const MAX_CLOSE_DELAY: Duration = Duration::from_secs(1);

/// Limits of connections.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// For the TLS handshake, and for the head of each request from the moment the connection is ready for it.
    pub header_timeout: Duration,
    /// How long a write may make no progress: the time budget of a peer that reads slowly.
    pub write_timeout: Duration,
    /// Maximum number of connections; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Proxies: many clients share the address of one.
    pub proxies: Arc<[IpNet]>,
}

/// Serves until `shutdown`, then lets requests under way finish. With metrics, connections are counted.
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
    let begin = |(stream, peer, slot)| {
        let (tls, router, limits, shutdown) = (tls.clone(), router.clone(), limits.clone(), stopping.clone());
        let open = metrics.as_ref().map(|metrics| metrics.open_connection());
        tokio::spawn(async move {
            let (_open, _slot) = (open, slot);
            connection(stream, peer, tls, router, &limits, shutdown).await;
        });
    };
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        accepted.map(begin);
    }
    let latest = Instant::now() + MAX_CLOSE_DELAY;
    while Instant::now() < latest
        && let Ok(accepted) = timeout(CLOSE_AFTER_IDLE, acceptor.accept()).await
    {
        accepted.map(begin);
    }
    // Connections still open after that end with the process.
    let _ = timeout(DRAIN, acceptor.close()).await;
}

/// Returns the active TLS settings; called for each connection.
pub type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsSource>,
    router: Router,
    limits: &ServeLimits,
    shutdown: watch::Receiver<bool>,
) {
    // Answers are single writes: Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    match tls {
        None => http(stream, peer, router, limits, shutdown).await,
        Some(settings) => {
            let handshake = TlsAcceptor::from(settings()).accept(stream);
            if let Ok(Ok(stream)) = timeout(limits.header_timeout, handshake).await {
                http(stream, peer, router, limits, shutdown).await;
            }
        }
    }
}

/// The connection ends without an answer, because any answer might be wrong.
#[derive(Debug, thiserror::Error)]
#[error("the answer is dropped")]
struct DroppedAnswer;

impl From<Infallible> for DroppedAnswer {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn sent(answer: Result<Response, Infallible>) -> Result<Response, DroppedAnswer> {
    let Ok(response) = answer;
    if response.extensions().get::<Dropped>().is_some() { Err(DroppedAnswer) } else { Ok(response) }
}

async fn http<S: AsyncRead + AsyncWrite + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: &ServeLimits,
    mut shutdown: watch::Receiver<bool>,
) {
    let stream = SlowClientLimit::new(Box::pin(stream), limits.write_timeout);
    let requested = Arc::new(Notify::new());
    let requests = requested.clone();
    let service = router
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            requests.notify_one();
            request.extensions_mut().insert(peer);
            request
        })
        .map_result(sent);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // Nothing is read while a request is handled: a disconnect of the client has no effect (`detached`), and
        // each read would need another buffer.
        .half_close(true)
        .max_header_size(HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Scanned::new(stream)), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let stopped = tokio::select! {
        // The outcome of a connection depends on its peer; its requests are counted elsewhere.
        _ = connection.as_mut() => false,
        _ = shutdown.wait_for(|stop| *stop) => true,
    };
    if stopped {
        // hyper closes a connection that had no request yet, even if the first one is about to arrive.
        tokio::select! {
            // First, so that the answer to this request says `Connection: close`.
            biased;
            () = requested.notified() => {}
            _ = connection.as_mut() => return,
            () = sleep(FIRST_REQUEST_TIMEOUT) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(DRAIN, connection).await;
    }
}
