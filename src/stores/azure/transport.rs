//! Carries the SDK's requests over our own client with its bounds. The body of an answer bypasses the SDK, which would copy a
//! secret or a token into memory that it keeps.
//!
//! The first request of a client comes without a token, to be told a scope. It is answered here with the configured one, so
//! that a server's challenge chooses no scope and no name of a secret travels without a token.

use crate::stores::outbound::{Answer, CallFault, Outbound, Server};
use crate::stores::port::OpenFault;
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

/// What the SDK reads in place of a body: a token that is used for nothing, and a secret without a value.
const PLACEHOLDER_BODY: &str = r#"{"token_type":"Bearer","expires_in":0,"ext_expires_in":0,"access_token":"none"}"#;

/// One call: what it is called in the server's log, and the answer or the reason for none.
#[derive(Clone)]
pub(super) struct Exchange {
    user_agent: Arc<str>,
    result: Arc<Mutex<Option<Result<Answer, CallFault>>>>,
}

impl Exchange {
    pub(super) fn new(user_agent: &str) -> Self {
        Self { user_agent: user_agent.into(), result: Arc::default() }
    }

    /// The answer, once. `None` if the SDK sent no request.
    pub(super) fn take(&self) -> Option<Result<Answer, CallFault>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, result: Result<Answer, CallFault>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

/// The client for one server, as the last policy of the SDK's pipelines.
pub(super) struct KeyVaultTransport {
    /// What the SDK's challenge policy is told.
    challenge: String,
    timeout: Duration,
    http: Outbound,
}

impl KeyVaultTransport {
    /// Builds the client and reads the CA file.
    ///
    /// # Errors
    /// An unusable address or CA file.
    pub(super) fn open(server: &Server<'_>, scope: &str) -> Result<Self, OpenFault> {
        let challenge = format!(r#"Bearer authorization="none", scope="{scope}""#);
        Ok(Self { challenge, timeout: server.timeout, http: Outbound::open(server)? })
    }

    /// Reads the CA file again. New connections use it.
    ///
    /// # Errors
    /// An unusable file; the old certificates stay in use.
    pub(super) fn reload(&self) -> Result<(), OpenFault> {
        self.http.reload()
    }

    /// As the SDK takes it.
    pub(super) fn transport(self: &Arc<Self>) -> Transport {
        Transport::with_policy(self.clone())
    }

    /// All calls only read, so each may be repeated.
    async fn answer(&self, request: &Request, user_agent: &str) -> Result<Answer, CallFault> {
        let method = Method::from_bytes(request.method().as_str().as_bytes()).map_err(|_| CallFault::Broken)?;
        let Body::Bytes(body) = request.body() else { return Err(CallFault::Broken) };
        let message = self.http.request(method, request.url().as_str()).headers(headers(request, user_agent)?);
        self.http.answer(message.body(body.clone()), true, self.timeout).await
    }
}

/// The SDK's headers, with our user agent; the one with the token has no `Debug`.
fn headers(request: &Request, user_agent: &str) -> Result<HeaderMap, CallFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers().iter() {
        let name: HeaderName = name.as_str().parse().map_err(|_| CallFault::Broken)?;
        let mut value = HeaderValue::from_str(value.as_str()).map_err(|_| CallFault::Broken)?;
        value.set_sensitive(name == AUTHORIZATION);
        headers.insert(name, value);
    }
    headers.insert(USER_AGENT, HeaderValue::from_str(user_agent).map_err(|_| CallFault::Broken)?);
    Ok(headers)
}

impl fmt::Debug for KeyVaultTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyVaultTransport")
    }
}

#[async_trait]
impl Policy for KeyVaultTransport {
    async fn send(&self, context: &Context, request: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
        let stub = |status: u16, headers| {
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
            return Ok(stub(401, headers));
        }
        let result = self.answer(request, &exchange.user_agent).await;
        // Of a refusal the SDK learns the status alone: it has no challenge that it could follow.
        let status = result.as_ref().map(|answer| answer.status).map_err(|fault| *fault);
        exchange.put(result);
        match status {
            Ok(status) => Ok(stub(status, Headers::new())),
            Err(fault) => Err(Error::with_message(ErrorKind::Other, fault.as_str())),
        }
    }
}
