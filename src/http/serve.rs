//! The accept loop: HTTP/1.1 on plain or TLS connections, each with a time limit at every stage of its life.
//!
//! Own code, because `axum::serve` has no limits: it kept every slow connection that was tried open for as long as it liked.

use super::answer::Dropped;
use super::entrance::Entrance;
use super::head_scan::Scanned;
use super::pace::Paced;
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

/// The largest request head. A bearer token has 16 KiB at most.
const HEAD_BYTES: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;
/// How long connections may finish what they do after the end was announced.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long whoever has just connected may ask for the first time, even so.
const FIRST_WORDS: Duration = Duration::from_secs(1);
/// Who was sent here before the end was announced is on the way: the door is shut when nobody came for so long.
const STRAGGLER: Duration = Duration::from_millis(50);
/// But then at the latest.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Bounds on connections.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// For the TLS handshake, and for the head of each request from the moment the connection is ready for it.
    pub header_timeout: Duration,
    /// How long a write may make no progress, and so the patience with a peer that reads slowly.
    pub write_timeout: Duration,
    /// The most connections at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Those behind which many clients have one address.
    pub proxies: Arc<[IpNet]>,
}

/// Serves until told to stop, then lets the requests under way end. Where there are metrics the connections are counted.
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
    let mut entrance = Entrance::new(listener, limits.max_connections, limits.proxies.clone());
    let stopping = shutdown.clone();
    let begin = |(stream, peer, place)| {
        let (tls, router, limits, shutdown) = (tls.clone(), router.clone(), limits.clone(), stopping.clone());
        let open = metrics.as_ref().map(|metrics| metrics.connection_opened());
        tokio::spawn(async move {
            let (_open, _place) = (open, place);
            connection(stream, peer, tls, router, &limits, shutdown).await;
        });
    };
    loop {
        let accepted = tokio::select! {
            accepted = entrance.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        accepted.map(begin);
    }
    let shut = Instant::now() + STRAGGLERS;
    while Instant::now() < shut
        && let Ok(accepted) = timeout(STRAGGLER, entrance.accept()).await
    {
        accepted.map(begin);
    }
    // Connections that do not end in time end with the process.
    let _ = timeout(LAST_WORDS, entrance.close()).await;
}

/// Where the TLS settings in force are to be had, anew for each connection.
pub type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsSource>,
    router: Router,
    limits: &ServeLimits,
    shutdown: watch::Receiver<bool>,
) {
    // Answers are single writes: waiting for more to send would only delay them.
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

/// The connection ends without an answer: none that could be given might not turn out wrong.
#[derive(Debug, thiserror::Error)]
#[error("the answer is dropped")]
struct NotSent;

impl From<Infallible> for NotSent {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn sent(answer: Result<Response, Infallible>) -> Result<Response, NotSent> {
    let Ok(response) = answer;
    if response.extensions().get::<Dropped>().is_some() { Err(NotSent) } else { Ok(response) }
}

async fn http<S: AsyncRead + AsyncWrite + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: &ServeLimits,
    mut shutdown: watch::Receiver<bool>,
) {
    let stream = Paced::new(Box::pin(stream), limits.write_timeout);
    let asked = Arc::new(Notify::new());
    let asks = asked.clone();
    let service = router
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            asks.notify_one();
            request.extensions_mut().insert(peer);
            request
        })
        .map_result(sent);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // While a request is answered nothing is read: whether its client is still there changes nothing (`whole`), and each
        // look would take another buffer.
        .half_close(true)
        .max_header_size(HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Scanned::new(stream)), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let stopped = tokio::select! {
        // How a connection ends is its peer's doing; the requests on it are counted elsewhere.
        _ = connection.as_mut() => false,
        _ = shutdown.wait_for(|stop| *stop) => true,
    };
    if stopped {
        // hyper closes a connection on which nothing was asked yet, also where the first request is a moment away.
        tokio::select! {
            // Before the connection goes on, so that its answer says that it is the last.
            biased;
            () = asked.notified() => {}
            _ = connection.as_mut() => return,
            () = sleep(FIRST_WORDS) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_WORDS, connection).await;
    }
}
