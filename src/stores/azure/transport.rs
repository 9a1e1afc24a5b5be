//! Sends the SDK's requests through our HTTP client with its limits. The body of a response bypasses the SDK, which would copy
//! a secret or a token into memory that is not overwritten.
//!
//! The SDK sends its first request without a token, to get a challenge with the scope. This request is not sent: the challenge
//! is made here from the configured scope, so that a server cannot choose the scope, and no name of a secret is sent without a
//! token.

use crate::stores::outbound::{ClientSettings, HttpClient, StoreResponse, TransportError};
use crate::stores::port::OpenError;
use async_trait::async_trait;
use azure_core::Bytes;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Body, Context, Request, StatusCode, Transport};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The body that the SDK gets in place of the captured one. It parses as a token and as a secret without a value.
const PLACEHOLDER_BODY: &str = r#"{"token_type":"Bearer","expires_in":0,"ext_expires_in":0,"access_token":"none"}"#;

/// One call: its user agent, which the server logs, and later its response or error.
#[derive(Clone)]
pub(super) struct Exchange {
    user_agent: Arc<str>,
    result: Arc<Mutex<Option<Result<StoreResponse, TransportError>>>>,
}

impl Exchange {
    pub(super) fn new(user_agent: &str) -> Self {
        Self { user_agent: user_agent.into(), result: Arc::default() }
    }

    /// Takes the response or error. `None` if the SDK sent no request.
    pub(super) fn take(&self) -> Option<Result<StoreResponse, TransportError>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, result: Result<StoreResponse, TransportError>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

/// The client for one server, as the last policy of the SDK's pipelines.
pub(super) struct AzureTransport {
    /// The `WWW-Authenticate` header for the SDK's first request.
    challenge: String,
    timeout: Duration,
    http: HttpClient,
}

impl AzureTransport {
    /// Builds the client and reads the CA file.
    ///
    /// # Errors
    /// An unusable address or CA file.
    pub(super) fn open(server: &ClientSettings<'_>, scope: &str) -> Result<Self, OpenError> {
        let challenge = format!(r#"Bearer authorization="none", scope="{scope}""#);
        Ok(Self { challenge, timeout: server.timeout, http: HttpClient::open(server)? })
    }

    /// Reads the CA file again. New connections use it.
    ///
    /// # Errors
    /// An unusable file; the old certificates stay in use.
    pub(super) fn reload(&self) -> Result<(), OpenError> {
        self.http.reload()
    }

    /// The transport for the options of an SDK client.
    pub(super) fn as_sdk_transport(self: &Arc<Self>) -> Transport {
        Transport::with_policy(self.clone())
    }

    /// Sends a request. All calls only read, so each may be retried.
    async fn send_request(&self, request: &Request, user_agent: &str) -> Result<StoreResponse, TransportError> {
        let method = Method::from_bytes(request.method().as_str().as_bytes()).map_err(|_| TransportError::Broken)?;
        let Body::Bytes(body) = request.body() else { return Err(TransportError::Broken) };
        let message = self.http.request(method, request.url().as_str()).headers(headers(request, user_agent)?);
        self.http.send_and_read(message.body(body.clone()), true, self.timeout).await
    }
}

/// The SDK's headers, with our user agent. The one with the token is marked as sensitive.
fn headers(request: &Request, user_agent: &str) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers().iter() {
        let name: HeaderName = name.as_str().parse().map_err(|_| TransportError::Broken)?;
        let mut value = HeaderValue::from_str(value.as_str()).map_err(|_| TransportError::Broken)?;
        value.set_sensitive(name == AUTHORIZATION);
        headers.insert(name, value);
    }
    headers.insert(USER_AGENT, HeaderValue::from_str(user_agent).map_err(|_| TransportError::Broken)?);
    Ok(headers)
}

impl fmt::Debug for AzureTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AzureTransport")
    }
}

#[async_trait]
impl Policy for AzureTransport {
    async fn send(&self, context: &Context, request: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
        let placeholder = |status: u16, headers| {
            AsyncRawResponse::from_bytes(
                StatusCode::from(status),
                headers,
                Bytes::from_static(PLACEHOLDER_BODY.as_bytes()),
            )
        };
        let Some(exchange) = context.value::<Exchange>() else {
            return Err(Error::with_message(ErrorKind::Other, "a call without its exchange"));
        };
        let is_login = request.method() == azure_core::http::Method::Post;
        if !is_login && request.headers().get_str(&"authorization".into()).is_err() {
            let mut headers = Headers::new();
            headers.insert("www-authenticate", self.challenge.clone());
            return Ok(placeholder(401, headers));
        }
        let result = self.send_request(request, &exchange.user_agent).await;
        // The SDK gets only the status, and no challenge of the server.
        let status = result.as_ref().map(|response| response.status).map_err(|error| *error);
        exchange.put(result);
        match status {
            Ok(status) => Ok(placeholder(status, Headers::new())),
            Err(error) => Err(Error::with_message(ErrorKind::Other, error.as_str())),
        }
    }
}
