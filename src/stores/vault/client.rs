//! The HTTP client for one Vault or OpenBao server: the only place where such a call is made.
//!
//! It follows no redirect, uses no proxy, keeps no cookie, decompresses nothing, and reads no body beyond a bound.
//! A reqwest error is never shown: its URL and its causes may carry a secret's path.

use crate::config::stores::Vault;
use crate::model::request_id::RequestId;
use crate::stores::OpenFault;
use crate::stores::bounded_file;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method};
use reqwest::{Certificate, redirect, retry};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The largest body that is read.
pub(super) const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The largest CA bundle that is read.
const MAX_CA_BYTES: usize = 1024 * 1024;

/// How long a connection is kept for the next call. While it lives, the buffer it reads into holds what was read last.
const IDLE: Duration = Duration::from_millis(500);

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const IS_REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-claviger-request-id");

/// One call.
pub(super) struct Call<'a> {
    /// The method.
    pub(super) method: Method,
    /// What follows `/v1/`; made of plain segments, so that nothing has to be escaped.
    pub(super) path: &'a str,
    /// The broker's token, where the call needs one.
    pub(super) token: Option<&'a HeaderValue>,
    /// A JSON body.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// How long the server wants to be left alone, where it says so in seconds.
    pub(super) retry_after: Option<Duration>,
    /// The body, overwritten when it is dropped.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// A server's address and how it is reached.
pub(super) struct Client {
    address: String,
    namespace: Option<HeaderValue>,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    /// Swapped when the CA file is read again.
    http: ArcSwap<reqwest::Client>,
}

impl Client {
    /// Builds the client and reads the CA file.
    ///
    /// # Errors
    /// When an address, a namespace or a CA file is no good.
    pub(super) fn open(config: &Vault) -> Result<Self, OpenFault> {
        let namespace = config.namespace.as_deref().map(HeaderValue::from_str).transpose();
        let http = build(&config.address, config.ca_file.as_deref(), config.timeout)?;
        Ok(Self {
            address: config.address.clone(),
            namespace: namespace.map_err(|_| OpenFault::Namespace)?,
            ca_file: config.ca_file.clone(),
            timeout: config.timeout,
            http: ArcSwap::from_pointee(http),
        })
    }

    /// Reads the CA file again. New calls use new connections.
    ///
    /// # Errors
    /// When it is no good; then everything stays as it was.
    pub(super) fn reload(&self) -> Result<(), OpenFault> {
        if self.ca_file.is_some() {
            self.http.store(build(&self.address, self.ca_file.as_deref(), self.timeout)?.into());
        }
        Ok(())
    }

    /// Makes a call in the configured namespace.
    ///
    /// # Errors
    /// When no whole answer comes back in time.
    pub(super) async fn call(&self, call: Call<'_>, request: &RequestId) -> Result<Answer, CallFault> {
        let namespace = self.namespace.clone();
        self.send(call, namespace, request).await
    }

    /// Asks for the server's health, which stands outside every namespace.
    ///
    /// # Errors
    /// When no whole answer comes back in time.
    pub(super) async fn health(&self, request: &RequestId) -> Result<Answer, CallFault> {
        let call = Call { method: Method::GET, path: "sys/health", token: None, body: None };
        self.send(call, None, request).await
    }

    async fn send(
        &self,
        call: Call<'_>,
        namespace: Option<HeaderValue>,
        request: &RequestId,
    ) -> Result<Answer, CallFault> {
        let mut headers = HeaderMap::new();
        headers.insert(IS_REQUEST, HeaderValue::from_static("true"));
        if let Ok(id) = HeaderValue::from_str(request.as_str()) {
            headers.insert(REQUEST_ID, id);
        }
        headers.extend(namespace.map(|namespace| (NAMESPACE, namespace)));
        headers.extend(call.token.map(|token| (TOKEN, token.clone())));
        let http = self.http.load_full();
        let method = call.method;
        let mut message = http.request(method.clone(), format!("{}/v1/{}", self.address, call.path)).headers(headers);
        if let Some(body) = call.body {
            message = message.header(CONTENT_TYPE, "application/json").body(Bytes::from_owner(body));
        }
        let mut response = self.respond(message, &method).await?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let body = read_body(&mut response).await?;
        Ok(Answer { status, retry_after, body })
    }

    /// Sends a message, a GET twice where the connection breaks before there is an answer: one that was kept alive may
    /// have ended meanwhile. Both share one budget. Anything that is an answer is not asked for again.
    async fn respond(&self, message: reqwest::RequestBuilder, method: &Method) -> Result<reqwest::Response, CallFault> {
        let deadline = Instant::now() + self.timeout;
        let again = (method == Method::GET).then(|| message.try_clone()).flatten();
        match (message.send().await.map_err(|error| fault(&error)), again) {
            (Err(CallFault::Connect | CallFault::Broken), Some(again)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                again.timeout(left).send().await.map_err(|error| fault(&error))
            }
            (first, _) => first,
        }
    }
}

/// The header, where it is a number of seconds; a date is not worth a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

async fn read_body(response: &mut reqwest::Response) -> Result<Zeroizing<Vec<u8>>, CallFault> {
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

fn build(address: &str, ca_file: Option<&Path>, timeout: Duration) -> Result<reqwest::Client, OpenFault> {
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
