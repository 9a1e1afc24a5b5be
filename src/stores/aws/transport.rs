//! Sends the SDK's requests through our HTTP client with its limits. The body of a successful response bypasses the SDK, which
//! would copy the secret into memory that is not overwritten.

use crate::stores::outbound::{ClientSettings, HttpClient as OutboundClient, TransportError, read_body};
use crate::stores::port::OpenError;
use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The body that the SDK gets in place of the captured one.
const PLACEHOLDER_BODY: &[u8] = b"{}";

/// Receives the body of a successful response, if the request has this extension.
#[derive(Clone, Default)]
pub(super) struct CapturedBody(Arc<Mutex<Option<Zeroizing<Vec<u8>>>>>);

impl CapturedBody {
    /// Takes the body. `None` if none was captured.
    pub(super) fn take(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, body: Zeroizing<Vec<u8>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }
}

/// The client for one server. Clones share it.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    address: String,
    timeout: Duration,
    http: OutboundClient,
}

impl Transport {
    /// Builds the client and reads the CA file.
    ///
    /// # Errors
    /// An unusable address or CA file.
    pub(super) fn open(server: &ClientSettings<'_>) -> Result<Self, OpenError> {
        let http = OutboundClient::open(server)?;
        Ok(Self(Arc::new(Inner { address: server.address.to_owned(), timeout: server.timeout, http })))
    }

    /// Reads the CA file again. New connections use it.
    ///
    /// # Errors
    /// An unusable file; the old certificates stay in use.
    pub(super) fn reload(&self) -> Result<(), OpenError> {
        self.0.http.reload()
    }

    /// Makes a GET request without the SDK. Returns the status and the body.
    ///
    /// # Errors
    /// No complete response arrived in time.
    pub(super) async fn get(&self, authorization: HeaderValue) -> Result<(u16, Zeroizing<Vec<u8>>), TransportError> {
        let message = self.0.http.request(Method::GET, &self.0.address).header(AUTHORIZATION, authorization);
        let mut response = self.0.http.send(message, true, self.0.timeout).await?;
        Ok((response.status().as_u16(), read_body(&mut response).await?))
    }

    /// Sends a request of the SDK. All calls only read, so each may be retried.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let method = Method::from_bytes(request.method().as_bytes()).map_err(|_| TransportError::Broken)?;
        let body = request.body().bytes().ok_or(TransportError::Broken)?;
        let message = self.0.http.request(method, request.uri()).headers(headers(&request)?);
        let message = message.body(Bytes::copy_from_slice(body));
        let mut response = self.0.http.send(message, true, self.0.timeout).await?;
        let body = read_body(&mut response).await?;
        let status = response.status();
        let sdk_body = match request.extension::<CapturedBody>() {
            Some(captured) if status == 200 => {
                captured.put(body);
                SdkBody::from(PLACEHOLDER_BODY)
            }
            _ => SdkBody::from(Bytes::from_owner(body)),
        };
        let mut sdk_response = HttpResponse::new(status.into(), sdk_body);
        for name in [HeaderName::from_static("x-amzn-errortype"), RETRY_AFTER] {
            if let Some(Ok(value)) = response.headers().get(&name).map(HeaderValue::to_str) {
                let _ = sdk_response.headers_mut().try_insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(sdk_response)
    }
}

/// The headers that the SDK signed. Those with credentials are marked as sensitive.
fn headers(request: &HttpRequest) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers() {
        let name: HeaderName = name.parse().map_err(|_| TransportError::Broken)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| TransportError::Broken)?;
        value.set_sensitive(name == AUTHORIZATION || name == "x-amz-security-token");
        headers.insert(name, value);
    }
    Ok(headers)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let transport = self.clone();
        HttpConnectorFuture::new(async move {
            transport.send(request).await.map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl HttpClient for Transport {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
