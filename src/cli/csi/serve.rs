//! Accepts the connections of the driver: HTTP/2 without TLS on a Unix socket, up to a maximum number.

use super::mount::{MAX_TIME_LIMIT, Provider};
use super::service::handle_call;
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

/// Maximum number of connections; further ones wait. The driver keeps one connection, and each probe opens one for a moment.
const MAX_CONNECTIONS: usize = 32;
/// Maximum number of concurrent calls on a connection, more than a node has pods.
const MAX_CONCURRENT_CALLS: u32 = 256;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Wait after a failed accept, for instance if no descriptor is free.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Serves until `stopped` completes, then waits for the mounts in progress.
pub async fn serve(listener: UnixListener, provider: Arc<Provider>, stopped: impl Future<Output = ()>) {
    let mut stopped = pin!(stopped);
    let mut connections = JoinSet::new();
    let (shutdown_sender, shutdown) = watch::channel(());
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, provider.clone(), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(error = %error.kind(), "a connection cannot be accepted");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            },
        }
    }
    drop(listener);
    drop(shutdown_sender);
    // Every mount ends within this time.
    let _ = timeout(MAX_TIME_LIMIT, async { while connections.join_next().await.is_some() {} }).await;
}

/// Serves one connection. After the sender of `shutdown` is dropped, the connection accepts no further calls.
async fn serve_connection(stream: UnixStream, provider: Arc<Provider>, mut shutdown: watch::Receiver<()>) {
    let service = service_fn(move |request| handle_call(provider.clone(), request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(MAX_CONCURRENT_CALLS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = shutdown.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
