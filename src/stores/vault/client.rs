//! The HTTP client for one Vault or OpenBao server.
//!
//! Requests are endpoint types of `vaultrs` and of `endpoints`, which the library `rustify` executes. It gets neither their
//! paths nor the responses, because its spans contain paths and its errors contain responses.

use super::call::{Call, CallOptions};
use crate::config::stores::Vault;
use crate::metrics::labels::StoreOperation;
use crate::model::path_segment::encode_path;
use crate::model::request_id::RequestId;
use crate::stores::breaker::BreakerTarget;
use crate::stores::outbound::{ClientSettings, HttpClient, StoreResponse, TransportError, read_body, retry_after};
use crate::stores::port::OpenError;
use crate::traces;
use crate::trust::{ClientCertificateFiles, TrustFiles};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use rustify::endpoint::{Endpoint, MiddleWare};
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::de::IgnoredAny;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use vaultrs::api::sys::requests::ReadHealthRequest;
use zeroize::Zeroizing;

const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-vault-namespace");
const VAULT_REQUEST_HEADER: HeaderName = HeaderName::from_static("x-vault-request");
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-claviger-request-id");
const TRACEPARENT_HEADER: HeaderName = HeaderName::from_static("traceparent");

/// The files of the TLS settings of a server.
pub(in crate::stores) fn trust_files(config: &Vault) -> TrustFiles {
    let client = config
        .client_certificate
        .as_ref()
        .map(|files| ClientCertificateFiles { certificate: files.cert_file.clone(), key: files.key_file.clone() });
    TrustFiles { ca: config.ca_file.clone(), client }
}

/// A server's address and how it is reached.
pub(super) struct Client {
    /// The address with `/v1`.
    base: String,
    namespace: Option<HeaderValue>,
    timeout: Duration,
    make_timeout: Duration,
    http: HttpClient,
}

impl Client {
    /// Builds the client and reads the certificates.
    ///
    /// # Errors
    /// An invalid address or namespace, or an unusable file.
    pub(super) fn open(store: &str, config: &Vault) -> Result<Self, OpenError> {
        let namespace = config.namespace.as_deref().map(HeaderValue::from_str).transpose();
        let trust = trust_files(config);
        let http = HttpClient::open(&ClientSettings {
            store,
            address: &config.address,
            trust: &trust,
            proxy: config.proxy_url.as_deref(),
            timeout: config.timeout,
        })?;
        Ok(Self {
            base: format!("{}/v1", config.address),
            namespace: namespace.map_err(|_| OpenError::Namespace)?,
            timeout: config.timeout,
            make_timeout: config.make_timeout,
            http,
        })
    }

    /// Reads the certificates again. New connections use them.
    ///
    /// # Errors
    /// An unusable file; the old certificates stay in use.
    pub(super) fn reload(&self) -> Result<(), OpenError> {
        self.http.reload()
    }

    /// Makes a call in the configured namespace.
    ///
    /// # Errors
    /// No complete response arrived in time.
    pub(super) async fn call<E: Endpoint>(
        &self,
        call: Call<'_, E>,
        request_id: &RequestId,
    ) -> Result<StoreResponse, TransportError> {
        self.send(call, self.namespace.as_ref(), request_id).await
    }

    /// Reads the server's health (`sys/health`), which is outside of all namespaces.
    ///
    /// # Errors
    /// No complete response arrived in time.
    pub(super) async fn health(&self, request_id: &RequestId) -> Result<StoreResponse, TransportError> {
        let options = CallOptions::new(StoreOperation::Preflight, BreakerTarget::group("sys/"));
        let call = Call { endpoint: ReadHealthRequest::default(), options, token: None };
        self.send(call, None, request_id).await
    }

    async fn send<E: Endpoint>(
        &self,
        Call { endpoint, options, token }: Call<'_, E>,
        namespace: Option<&HeaderValue>,
        request_id: &RequestId,
    ) -> Result<StoreResponse, TransportError> {
        let headers = Headers { url: endpoint_url(&self.base, &endpoint), token, namespace, request_id };
        let time_limit = if options.uses_make_timeout { self.make_timeout } else { self.timeout };
        let transport = Transport { client: self, no_retry: options.no_retry, time_limit, response: Mutex::default() };
        // `rustify`'s result is ignored: the transport has the response or the error.
        let _ = WithoutPath(endpoint).with_middleware(&headers).exec(&transport).await;
        let response = transport.response.into_inner().unwrap_or_else(PoisonError::into_inner);
        response.unwrap_or(Err(TransportError::Broken))
    }
}

/// The URL of an endpoint. The paths of `vaultrs` begin with a slash, one of them with a tab. All but unreserved characters are
/// percent-encoded: `rustify` would not encode `;`, `:` and others, which have a meaning for some proxies.
fn endpoint_url(base: &str, endpoint: &impl Endpoint) -> String {
    let path = endpoint.path();
    format!("{base}/{}", encode_path(path.trim_start_matches(['\t', '/'])))
}

/// An endpoint without its path, which `rustify` would put into its spans.
struct WithoutPath<E>(E);

impl<E: Endpoint> Endpoint for WithoutPath<E> {
    type Response = IgnoredAny;
    const REQUEST_BODY_TYPE: RequestType = E::REQUEST_BODY_TYPE;
    const RESPONSE_BODY_TYPE: ResponseType = E::RESPONSE_BODY_TYPE;

    fn path(&self) -> String {
        String::new()
    }

    fn method(&self) -> RequestMethod {
        self.0.method()
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        self.0.body()
    }
}

/// Sets the URL and the headers of one call.
struct Headers<'a> {
    url: String,
    token: Option<&'a HeaderValue>,
    namespace: Option<&'a HeaderValue>,
    request_id: &'a RequestId,
}

impl MiddleWare for Headers<'_> {
    fn request<E: Endpoint>(&self, _endpoint: &E, request: &mut Request<Vec<u8>>) -> Result<(), ClientError> {
        *request.uri_mut() = self.url.parse().map_err(|source| ClientError::UrlBuildError { source })?;
        let headers = request.headers_mut();
        headers.insert(VAULT_REQUEST_HEADER, HeaderValue::from_static("true"));
        if let Ok(id) = HeaderValue::from_str(self.request_id.as_str()) {
            headers.insert(REQUEST_ID_HEADER, id);
        }
        headers.extend(
            traces::traceparent().and_then(|value| Some((TRACEPARENT_HEADER, HeaderValue::try_from(value).ok()?))),
        );
        headers.extend(self.namespace.map(|namespace| (NAMESPACE_HEADER, namespace.clone())));
        headers.extend(self.token.map(|token| (TOKEN_HEADER, token.clone())));
        Ok(())
    }

    fn response<E: Endpoint>(&self, _endpoint: &E, _response: &mut Response<Vec<u8>>) -> Result<(), ClientError> {
        Ok(())
    }
}

/// Sends one request and keeps its response. `rustify` gets an empty response.
struct Transport<'a> {
    client: &'a Client,
    no_retry: bool,
    time_limit: Duration,
    response: Mutex<Option<Result<StoreResponse, TransportError>>>,
}

impl Transport<'_> {
    async fn send_request(&self, request: Request<Vec<u8>>) -> Result<StoreResponse, TransportError> {
        let (head, body) = request.into_parts();
        let body = Zeroizing::new(body);
        let repeatable = head.method == Method::GET && !self.no_retry;
        let http = &self.client.http;
        let mut message =
            http.request(head.method, &head.uri.to_string()).headers(head.headers).timeout(self.time_limit);
        if !body.is_empty() {
            message = message.header(CONTENT_TYPE, "application/json").body(Bytes::from_owner(body));
        }
        let mut response = http.send(message, repeatable, self.time_limit).await?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = read_body(&mut response).await?;
        Ok(StoreResponse { status, retry_after, body })
    }
}

#[async_trait]
impl rustify::client::Client for Transport<'_> {
    fn base(&self) -> &str {
        &self.client.base
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        let response = self.send_request(request).await;
        *self.response.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
        Ok(Response::default())
    }

    /// Replaces the default method, which opens a span with the URL, and puts the body of every status but 2xx into an error.
    async fn execute(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        self.send(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::store_path::StorePath;
    use crate::stores::vault::endpoints::VaultEndpoint;
    use proptest::prelude::*;
    use std::io;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::fmt::format::FmtSpan;
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
    use vaultrs::api::kv2::requests::ReadSecretRequest;
    use vaultrs::api::token::requests::RenewTokenSelfRequest;

    fn build_request(endpoint: impl Endpoint) -> Request<Vec<u8>> {
        let mut token = HeaderValue::from_static("hunter2");
        token.set_sensitive(true);
        let (base, request_id) = ("http://vault.example:8200/v1", RequestId::random());
        let headers = Headers {
            url: endpoint_url(base, &endpoint),
            token: Some(&token),
            namespace: None,
            request_id: &request_id,
        };
        WithoutPath(endpoint).with_middleware(&headers).request(base).unwrap()
    }

    #[test]
    fn all_but_unreserved_characters_of_a_path_are_encoded() {
        for (path, url) in [
            ("homelab/site/feature~x", "homelab/site/feature~x"),
            ("Team A/site", "Team%20A/site"),
            ("a%2fb/%2e%2e", "a%252fb/%252e%252e"),
            ("a?version=1", "a%3Fversion=1"),
            ("a#b;c", "a%23b%3Bc"),
            ("a\\b", "a%5Cb"),
            (" /a", "%20/a"),
            ("é:@+!*", "%C3%A9%3A%40%2B%21%2A"),
        ] {
            let request = build_request(VaultEndpoint::CreateSecret { path, json: None });
            assert_eq!(request.uri().to_string(), format!("http://vault.example:8200/v1/{url}"), "{path:?}");
            let vaultrs_request =
                build_request(ReadSecretRequest { mount: "team/kv".into(), path: path.into(), version: None });
            assert_eq!(
                vaultrs_request.uri().to_string(),
                format!("http://vault.example:8200/v1/team/kv/data/{url}"),
                "{path:?}"
            );
        }
        let renewal = build_request(RenewTokenSelfRequest::default());
        assert_eq!(renewal.uri().to_string(), "http://vault.example:8200/v1/auth/token/renew-self");
    }

    #[test]
    fn the_token_is_sent_and_has_no_debug_text() {
        let request = build_request(VaultEndpoint::CreateSecret { path: "a/b", json: None });
        assert_eq!(request.headers()[TOKEN_HEADER], "hunter2");
        assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
    }

    /// Collects the trace output.
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Recorder {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A server that responds to requests with a refusal, each on its own connection.
    async fn refusing_server(refusal: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: ";
                let _ = stream.write_all(format!("{head}{}\r\n\r\n{refusal}", refusal.len()).as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn rustify_traces_no_path_token_body_or_response() {
        let address = refusing_server("canary-answer").await;
        let (timeout, trust) = (Duration::from_secs(5), TrustFiles { ca: None, client: None });
        let server = ClientSettings { store: "vault", address: &address, trust: &trust, proxy: None, timeout };
        let (http, base) = (HttpClient::open(&server).unwrap(), format!("{address}/v1"));
        let client = Client { base, namespace: None, timeout, make_timeout: timeout, http };

        let recorder = Recorder::default();
        let (writer, on) = (recorder.clone(), LevelFilter::TRACE);
        let layer =
            tracing_subscriber::fmt::layer().with_span_events(FmtSpan::FULL).with_writer(move || writer.clone());
        let targets = Targets::new().with_target("rustify", on).with_target("vaultrs", on);
        let traced = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer.with_filter(targets)));
        let mut token = HeaderValue::from_static("canary-token");
        token.set_sensitive(true);
        let (path, json) = ("pki/issue/canary-path", Some(r#"{"common_name":"canary-body"}"#));
        let options = CallOptions::calling_backend(StoreOperation::Read, BreakerTarget::group("pki/"));
        let call = || Call { endpoint: VaultEndpoint::CreateSecret { path, json }, options, token: Some(&token) };
        // The spans of rustify may be known already, from a test in a thread without a subscriber, and then count as disabled.
        client.call(call(), &RequestId::random()).await.unwrap();
        tracing::callsite::rebuild_interest_cache();
        let response = client.call(call(), &RequestId::random()).await.unwrap();
        drop(traced);

        assert_eq!((response.status, response.body.as_slice()), (403, b"canary-answer".as_slice()));
        let traced = String::from_utf8(recorder.0.lock().unwrap().clone()).unwrap();
        assert!(traced.contains("build_request"), "it traces: {traced}");
        assert!(!traced.contains("canary"), "{traced}");
    }

    proptest! {
        #[test]
        fn every_path_becomes_a_request(path in "[^\\p{Cc}]{1,60}(/[^\\p{Cc}]{1,60}){0,3}") {
            if let Ok(path) = StorePath::try_from(path.as_str()) {
                build_request(VaultEndpoint::CreateSecret { path: path.as_str(), json: None });
            }
        }
    }
}
