//! HTTP clients for stores, with their limits: the one place where they are built.
//!
//! They follow no redirect, use no proxy, keep no cookie, decompress nothing, and read no body beyond a bound.
//! A reqwest error is never shown: its URL and its causes may carry a secret's path.

use super::breaker::Verdict;
use super::{OpenFault, bounded_file};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use reqwest::{Certificate, RequestBuilder, Response, redirect, retry};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The largest body that is read.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The largest CA bundle that is read.
const MAX_CA_BYTES: usize = 1024 * 1024;

/// How long a connection is kept for the next call. While it lives, the buffer it reads into holds what was read last.
const IDLE: Duration = Duration::from_millis(500);

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no whole answer came back")]
pub(super) enum CallFault {
    /// No connection, or no TLS on it.
    Connect,
    /// Not in time.
    Timeout,
    /// More than is read.
    BodyTooLarge,
    /// The connection broke, or what came is not HTTP.
    Broken,
}

impl CallFault {
    /// The word in the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Broken => "broken",
        }
    }

    /// What it says about the server: one that sends too much is at work.
    pub(super) const fn verdict(self) -> Verdict {
        match self {
            Self::Connect | Self::Timeout | Self::Broken => Verdict::Failed,
            Self::BodyTooLarge => Verdict::Served,
        }
    }
}

/// Sends a message; one that may be repeated a second time where the connection breaks before there is an answer: one
/// that was kept alive may have ended meanwhile. Both share one budget. Anything that is an answer is not asked for
/// again.
///
/// # Errors
/// When no answer begins in time.
pub(super) async fn respond(
    message: RequestBuilder,
    repeatable: bool,
    timeout: Duration,
) -> Result<Response, CallFault> {
    let deadline = Instant::now() + timeout;
    let again = repeatable.then(|| message.try_clone()).flatten();
    match (message.send().await.map_err(|error| fault(&error)), again) {
        (Err(CallFault::Connect | CallFault::Broken), Some(again)) => {
            let left = deadline.saturating_duration_since(Instant::now());
            again.timeout(left).send().await.map_err(|error| fault(&error))
        }
        (first, _) => first,
    }
}

/// The header, where it is a number of seconds; a date is not worth a clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Reads a body of at most 4 MiB.
///
/// # Errors
/// When it is larger, or does not come whole and in time.
pub(super) async fn read_body(response: &mut Response) -> Result<Zeroizing<Vec<u8>>, CallFault> {
    let announced = response.content_length().map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if announced > MAX_BODY_BYTES {
        return Err(CallFault::BodyTooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        let length = body.len() + chunk.len();
        if length > MAX_BODY_BYTES {
            return Err(CallFault::BodyTooLarge);
        }
        if length > body.capacity() {
            // A vector that grows leaves its old contents behind; this one is overwritten.
            let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn fault(error: &reqwest::Error) -> CallFault {
    if error.is_timeout() {
        CallFault::Timeout
    } else if error.is_connect() {
        CallFault::Connect
    } else {
        CallFault::Broken
    }
}

/// Builds a client for one server. Reads the CA file.
///
/// # Errors
/// When the address or the CA file is no good.
pub(super) fn build(address: &str, ca_file: Option<&Path>, timeout: Duration) -> Result<reqwest::Client, OpenFault> {
    let url = reqwest::Url::parse(address).map_err(|_| OpenFault::Address)?;
    // reqwest takes the process's provider and panics where there is none; a second installation changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .pool_idle_timeout(IDLE)
        .connect_timeout(timeout)
        .timeout(timeout);
    let (builder, failed) = match (url.scheme(), ca_file) {
        // Without TLS there is nothing to check, and a machine without a CA bundle is good enough.
        ("http", _) => (builder.tls_certs_only([]), OpenFault::TlsRoots),
        ("https", None) => (builder.https_only(true), OpenFault::TlsRoots),
        ("https", Some(file)) => (builder.https_only(true).tls_certs_only(roots(file)?), OpenFault::CaFile),
        _ => return Err(OpenFault::Address),
    };
    builder.build().map_err(|_| failed)
}

fn roots(file: &Path) -> Result<Vec<Certificate>, OpenFault> {
    let pem = bounded_file::read(file, MAX_CA_BYTES).map_err(|_| OpenFault::CaFile)?;
    let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| OpenFault::CaFile)?;
    if roots.is_empty() { Err(OpenFault::CaFile) } else { Ok(roots) }
}
