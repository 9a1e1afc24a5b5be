//! HTTP clients for stores, with their limits: the one place where they are built.
//!
//! They follow no redirect, use no proxy but a configured one, keep no cookie, decompress nothing, and read no body beyond a bound.
//! A reqwest error is never shown: its URL and its causes may carry a secret's path.

use super::breaker::Verdict;
use super::port::OpenFault;
use crate::trust::{ConnectFailure, Trust, TrustFiles};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method};
use reqwest::{Client, Proxy, RequestBuilder, Response, Url, redirect, retry};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The largest body that is read.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// How long a connection is kept for the next call. While it lives, the buffer it reads into holds what was read last.
const IDLE: Duration = Duration::from_millis(500);

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no whole answer came back")]
pub(super) enum CallFault {
    /// No connection, or no TLS on it, for a reason that is known.
    Unconnected(ConnectFailure),
    /// The same for another reason.
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
            Self::Unconnected(failure) => failure.as_str(),
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Broken => "broken",
        }
    }

    /// Whether another try may go better: of a connection that ended meanwhile, or a server that is being restarted.
    const fn may_pass(self) -> bool {
        match self {
            Self::Unconnected(failure) => failure.may_pass(),
            Self::Connect | Self::Broken => true,
            Self::Timeout | Self::BodyTooLarge => false,
        }
    }

    /// What it says about the server: one that sends too much is at work.
    pub(super) const fn verdict(self) -> Verdict {
        match self {
            Self::Unconnected(_) | Self::Connect | Self::Broken => Verdict::Failed,
            Self::Timeout => Verdict::Late,
            Self::BodyTooLarge => Verdict::Served,
        }
    }
}

/// How one server is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server<'a> {
    /// The store's configured name.
    pub(super) store: &'a str,
    /// `http://` or `https://`.
    pub(super) address: &'a str,
    /// Where trust and identity come from.
    pub(super) trust: &'a TrustFiles,
    /// A proxy's address.
    pub(super) proxy: Option<&'a str>,
    /// The budget of a connection, and of a call that names none.
    pub(super) timeout: Duration,
}

/// The HTTP client for one server.
pub(super) struct Outbound {
    http: Client,
    /// None without TLS.
    trust: Option<Trust>,
}

impl Outbound {
    /// Builds the client and reads the certificates.
    ///
    /// # Errors
    /// When the address, the proxy's address or a file is not usable.
    pub(super) fn open(server: &Server<'_>) -> Result<Self, OpenFault> {
        let url = Url::parse(server.address).map_err(|_| OpenFault::Address)?;
        // reqwest takes the process's provider and panics where there is none; a second installation changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .connect_timeout(server.timeout)
            .timeout(server.timeout);
        if let Some(proxy) = server.proxy {
            builder = builder.proxy(Proxy::all(proxy).map_err(|_| OpenFault::Proxy)?);
        }
        let trust = match url.scheme() {
            // Without TLS there is nothing to check, and a machine without a CA bundle is good enough.
            "http" if server.proxy.is_none_or(|proxy| proxy.starts_with("http:")) => None,
            "http" | "https" => Some(Trust::open(server.store, server.trust)?),
            _ => return Err(OpenFault::Address),
        };
        let builder = match &trust {
            Some(trust) => builder.tls_backend_preconfigured(trust.client_config()).https_only(url.scheme() == "https"),
            None => builder.tls_certs_only([]),
        };
        Ok(Self { http: builder.build().map_err(|_| OpenFault::TlsRoots)?, trust })
    }

    /// Begins a message.
    pub(super) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Reads the certificates now. New connections use them; changed files are read without this, too.
    ///
    /// # Errors
    /// When a file is not usable; then everything stays as it was.
    pub(super) fn reload(&self) -> Result<(), OpenFault> {
        self.trust.as_ref().map_or(Ok(()), Trust::reload).map_err(OpenFault::from)
    }

    /// Sends a message; one that may be repeated a second time where the connection breaks before there is an answer: one
    /// that was kept alive may have ended meanwhile. Both share one budget. Anything that is an answer is not asked for
    /// again.
    ///
    /// # Errors
    /// When no answer begins in time.
    pub(super) async fn respond(
        &self,
        message: RequestBuilder,
        repeatable: bool,
        timeout: Duration,
    ) -> Result<Response, CallFault> {
        let deadline = Instant::now() + timeout;
        let again = repeatable.then(|| message.try_clone()).flatten();
        let response = match (message.send().await.map_err(|error| self.fault(&error)), again) {
            (Err(fault), Some(again)) if fault.may_pass() => {
                let left = deadline.saturating_duration_since(Instant::now());
                again.timeout(left).send().await.map_err(|error| self.fault(&error))
            }
            (first, _) => first,
        }?;
        if let Some(trust) = &self.trust {
            trust.note_answer();
        }
        Ok(response)
    }

    fn fault(&self, error: &reqwest::Error) -> CallFault {
        let failure = self.trust.as_ref().map_or_else(|| ConnectFailure::of(error), |trust| trust.failure(error));
        if error.is_timeout() {
            CallFault::Timeout
        } else if let Some(failure) = failure {
            CallFault::Unconnected(failure)
        } else {
            other_fault(error)
        }
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
    while let Some(chunk) = response.chunk().await.map_err(|error| other_fault(&error))? {
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

fn other_fault(error: &reqwest::Error) -> CallFault {
    if error.is_timeout() {
        CallFault::Timeout
    } else if error.is_connect() {
        CallFault::Connect
    } else {
        CallFault::Broken
    }
}
