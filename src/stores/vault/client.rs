//! The HTTP client for one Vault or OpenBao server: the only place where such a call is made.

use crate::config::stores::Vault;
use crate::model::request_id::RequestId;
use crate::stores::breaker::Target;
use crate::stores::outbound::{CallFault, Outbound, Server, read_body, retry_after};
use crate::stores::port::OpenFault;
use crate::traces;
use crate::trust::{ClientFiles, TrustFiles};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use std::time::Duration;
use zeroize::Zeroizing;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const IS_REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-claviger-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// One call.
pub(super) struct Call<'a> {
    /// The method.
    pub(super) method: Method,
    /// What follows `/v1/`; made of plain segments, so that nothing has to be escaped.
    pub(super) path: &'a str,
    /// Whose trouble its failure is.
    pub(super) target: Target<'a>,
    /// The broker's token, where the call needs one.
    pub(super) token: Option<&'a HeaderValue>,
    /// A JSON body.
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    /// Whether it must not be sent twice: each time makes something, or takes a use of the token.
    pub(super) once: bool,
    /// Whether it has the time that making something takes.
    pub(super) makes: bool,
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

/// A server's address and how it is reached.
pub(super) struct Client {
    address: String,
    namespace: Option<HeaderValue>,
    timeout: Duration,
    make_timeout: Duration,
    http: Outbound,
}

impl Client {
    /// Builds the client and reads the certificates.
    ///
    /// # Errors
    /// When an address, a namespace or a file is not usable.
    pub(super) fn open(store: &str, config: &Vault) -> Result<Self, OpenFault> {
        let namespace = config.namespace.as_deref().map(HeaderValue::from_str).transpose();
        let client = config
            .client_certificate
            .as_ref()
            .map(|files| ClientFiles { certificate: files.cert_file.clone(), key: files.key_file.clone() });
        let trust = TrustFiles { ca: config.ca_file.clone(), client };
        let http = Outbound::open(&Server {
            store,
            address: &config.address,
            trust: &trust,
            proxy: config.proxy_url.as_deref(),
            timeout: config.timeout,
        })?;
        Ok(Self {
            address: config.address.clone(),
            namespace: namespace.map_err(|_| OpenFault::Namespace)?,
            timeout: config.timeout,
            make_timeout: config.make_timeout,
            http,
        })
    }

    /// Reads the certificates again. New connections use them.
    ///
    /// # Errors
    /// When a file is not usable; then everything stays as it was.
    pub(super) fn reload(&self) -> Result<(), OpenFault> {
        self.http.reload()
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
        let (path, target) = ("sys/health", Target::group("sys/"));
        let call = Call { method: Method::GET, path, target, token: None, body: None, once: false, makes: false };
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
        headers.extend(traces::traceparent().and_then(|value| Some((TRACEPARENT, HeaderValue::try_from(value).ok()?))));
        headers.extend(namespace.map(|namespace| (NAMESPACE, namespace)));
        headers.extend(call.token.map(|token| (TOKEN, token.clone())));
        let again = call.method == Method::GET && !call.once;
        let url = format!("{}/v1/{}", self.address, call.path);
        let budget = if call.makes { self.make_timeout } else { self.timeout };
        let mut message = self.http.request(call.method, &url).headers(headers).timeout(budget);
        if let Some(body) = call.body {
            message = message.header(CONTENT_TYPE, "application/json").body(Bytes::from_owner(body));
        }
        let mut response = self.http.respond(message, again, budget).await?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let body = read_body(&mut response).await?;
        Ok(Answer { status, retry_after, body })
    }
}
