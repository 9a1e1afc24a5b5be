//! The HTTP clients of all stores, with their limits.
//!
//! They follow no redirects, use only a configured proxy, keep no cookies, decompress nothing, and read bodies up to a maximum
//! size. A reqwest error is never shown, because its URL and its causes may contain the path of a secret.

use super::breaker::CallVerdict;
use super::port::OpenError;
use crate::trust::{ConnectFailure, Trust, TrustError, TrustFiles};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method};
use reqwest::{Client, Proxy, RequestBuilder, Response, Url, redirect, retry};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Maximum size of a body.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// How long an idle connection is kept. Its buffer may still contain the last response, so this is short.
const IDLE_TIMEOUT: Duration = Duration::from_millis(500);

/// Why no complete response arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no whole answer came back")]
pub(super) enum TransportError {
    /// No TCP or TLS connection, for a known reason.
    Unconnected(ConnectFailure),
    /// No TCP or TLS connection, for another reason.
    Connect,
    /// The time limit was exceeded.
    Timeout,
    /// The body exceeds the maximum size.
    BodyTooLarge,
    /// The connection broke, or the response is not HTTP.
    Broken,
}

impl TransportError {
    /// The code in the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unconnected(failure) => failure.as_str(),
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Broken => "broken",
        }
    }

    /// Whether a second attempt may succeed: the connection has ended, or the server is restarting.
    const fn is_transient(self) -> bool {
        match self {
            Self::Unconnected(failure) => failure.is_transient(),
            Self::Connect | Self::Broken => true,
            Self::Timeout | Self::BodyTooLarge => false,
        }
    }

    /// How it counts for the circuit breakers. A server that sends too much counts as available.
    pub(super) const fn verdict(self) -> CallVerdict {
        match self {
            Self::Unconnected(_) | Self::Connect | Self::Broken => CallVerdict::Failed,
            Self::Timeout => CallVerdict::TimedOut,
            Self::BodyTooLarge => CallVerdict::Served,
        }
    }
}

/// The response to a call.
#[derive(Debug)]
pub(super) struct StoreResponse {
    /// The HTTP status.
    pub(super) status: u16,
    /// The header `Retry-After`, if it is a number of seconds.
    pub(super) retry_after: Option<Duration>,
    /// The body, which is overwritten on drop.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The settings of the client for one server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientSettings<'a> {
    /// The store's configured name.
    pub(super) store: &'a str,
    /// `http://` or `https://`.
    pub(super) address: &'a str,
    /// The CA file and the client certificate.
    pub(super) trust: &'a TrustFiles,
    /// The URL of a proxy.
    pub(super) proxy: Option<&'a str>,
    /// The time limit of connecting, and the default time limit of a call.
    pub(super) timeout: Duration,
}

/// The HTTP client for one server.
pub(super) struct HttpClient {
    http: Client,
    /// `None` without TLS.
    trust: Option<Trust>,
}

impl HttpClient {
    /// Builds the client and reads the certificates.
    ///
    /// # Errors
    /// An unusable address, proxy URL or file.
    pub(super) fn open(server: &ClientSettings<'_>) -> Result<Self, OpenError> {
        let url = Url::parse(server.address).map_err(|_| OpenError::Address)?;
        // reqwest uses the process's provider and panics without one. A second installation changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .pool_idle_timeout(IDLE_TIMEOUT)
            .connect_timeout(server.timeout)
            .timeout(server.timeout);
        if let Some(proxy) = server.proxy {
            builder = builder.proxy(Proxy::all(proxy).map_err(|_| OpenError::Proxy)?);
        }
        let trust = match url.scheme() {
            // Without TLS no CA bundle is needed.
            "http" if server.proxy.is_none_or(|proxy| proxy.starts_with("http:")) => None,
            "http" | "https" => Some(Trust::open(server.store, server.trust)?),
            _ => return Err(OpenError::Address),
        };
        let builder = match &trust {
            Some(trust) => builder.tls_backend_preconfigured(trust.client_config()).https_only(url.scheme() == "https"),
            None => builder.tls_certs_only([]),
        };
        Ok(Self { http: builder.build().map_err(|_| TrustError::SystemRoots)?, trust })
    }

    /// Begins a request.
    pub(super) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Reads the certificates now. New connections use them. Changed files are also read without this call.
    ///
    /// # Errors
    /// An unusable file; the old certificates stay in use.
    pub(super) fn reload(&self) -> Result<(), OpenError> {
        self.trust.as_ref().map_or(Ok(()), Trust::reload).map_err(OpenError::from)
    }

    /// Sends a request, and returns the response without its body. A repeatable request is sent a second time if the connection
    /// breaks before a response begins, because the server may have closed a kept-alive connection. Both attempts share one
    /// time limit.
    ///
    /// # Errors
    /// No response begins in time.
    pub(super) async fn send(
        &self,
        message: RequestBuilder,
        repeatable: bool,
        timeout: Duration,
    ) -> Result<Response, TransportError> {
        let deadline = Instant::now() + timeout;
        let retry = repeatable.then(|| message.try_clone()).flatten();
        let response = match (message.send().await.map_err(|error| self.transport_error(&error)), retry) {
            (Err(error), Some(retry)) if error.is_transient() => {
                let left = deadline.saturating_duration_since(Instant::now());
                retry.timeout(left).send().await.map_err(|error| self.transport_error(&error))
            }
            (first, _) => first,
        }?;
        if let Some(trust) = &self.trust {
            trust.record_response();
        }
        Ok(response)
    }

    /// Sends a request as [`Self::send`] does, and reads the whole response.
    ///
    /// # Errors
    /// No complete response arrived in time.
    #[cfg(any(feature = "azure", feature = "gcp"))]
    pub(super) async fn send_and_read(
        &self,
        message: RequestBuilder,
        repeatable: bool,
        timeout: Duration,
    ) -> Result<StoreResponse, TransportError> {
        let mut response = self.send(message, repeatable, timeout).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        Ok(StoreResponse { status, retry_after, body: read_body(&mut response).await? })
    }

    fn transport_error(&self, error: &reqwest::Error) -> TransportError {
        let failure =
            self.trust.as_ref().map_or_else(|| ConnectFailure::from_error(error), |trust| trust.connect_failure(error));
        if error.is_timeout() {
            TransportError::Timeout
        } else if let Some(failure) = failure {
            TransportError::Unconnected(failure)
        } else {
            transport_error(error)
        }
    }
}

/// The `Retry-After` header, if it is a number of seconds. Dates are ignored.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Reads a body of at most 4 MiB.
///
/// # Errors
/// A larger, incomplete or late body.
pub(super) async fn read_body(response: &mut Response) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let content_length = response.content_length().map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if content_length > MAX_BODY_BYTES {
        return Err(TransportError::BodyTooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(content_length));
    while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(&error))? {
        let length = body.len() + chunk.len();
        if length > MAX_BODY_BYTES {
            return Err(TransportError::BodyTooLarge);
        }
        if length > body.capacity() {
            // A vector that grows leaves its old content in memory. `body` is overwritten when it is replaced.
            let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn transport_error(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        TransportError::Timeout
    } else if error.is_connect() {
        TransportError::Connect
    } else {
        TransportError::Broken
    }
}
