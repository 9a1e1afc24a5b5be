//! Accepts the driver's connections: HTTP/2 without TLS on a Unix socket, bounded in number.

use super::mount::{MAX_TIME_LIMIT, Provider};
use super::service::answer;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The driver keeps one connection, and probes come and go.
const MAX_CONNECTIONS: usize = 32;
/// Calls at once on a connection; the driver waits with further ones. A node has fewer pods.
const MAX_CALLS: u32 = 256;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Wait after a failed accept, for instance without free descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stopped`. Then mounts on their way are finished.
pub async fn serve(listener: UnixListener, provider: Arc<Provider>, stopped: impl Future<Output = ()>) {
    let mut stopped = pin!(stopped);
    let mut connections = JoinSet::new();
    let (stopping, told) = watch::channel(());
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, provider.clone(), told.clone()))),
                Err(error) => {
                    tracing::warn!(error = %error.kind(), "a connection cannot be accepted");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(stopping);
    // A mount takes no longer.
    let _ = timeout(MAX_TIME_LIMIT, async { while connections.join_next().await.is_some() {} }).await;
}

/// Serves one connection; once `told` is closed it takes no further calls.
async fn connection(stream: UnixStream, provider: Arc<Provider>, mut told: watch::Receiver<()>) {
    let service = service_fn(move |request| answer(provider.clone(), request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_CALLS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = told.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
