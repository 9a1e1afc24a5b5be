//! Exports spans to an OTLP receiver over HTTP, in batches and in the background. Off by default.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use reqwest::{redirect, retry};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

const BATCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for the last spans at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// The HTTP client for the receiver cannot be created.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("telemetry.otlpEndpoint: the HTTP client cannot be created; are root certificates installed?")]
pub struct HttpClientError;

/// The exporter of spans.
pub struct TraceExporter(SdkTracerProvider);

impl TraceExporter {
    /// Starts to export to the receiver at this base URL.
    ///
    /// # Errors
    /// The HTTP client cannot be created.
    pub(super) fn start(endpoint: &str) -> Result<Self, HttpClientError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OtlpClient::new(endpoint)?)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(BATCH_TIMEOUT)
            .build()
            .map_err(|_| HttpClientError)?;
        let provider = SdkTracerProvider::builder()
            // Only the configuration decides whether requests are traced. The sampled flag of a caller has no effect.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(Resource::builder_empty().with_service_name("claviger").build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    pub(super) const fn provider(&self) -> &SdkTracerProvider {
        &self.0
    }

    /// Exports pending spans and stops.
    pub fn shut_down(self) {
        // The client has logged an unreachable receiver already.
        let _ = self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
    }
}

/// Sends batches. The exporter calls this client on a separate thread, which has no runtime.
#[derive(Debug)]
struct OtlpClient {
    http: reqwest::Client,
    runtime: Handle,
    is_delivering: AtomicBool,
}

impl OtlpClient {
    fn new(endpoint: &str) -> Result<Self, HttpClientError> {
        let builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .timeout(BATCH_TIMEOUT);
        // Without TLS there is nothing to verify.
        let builder = if endpoint.starts_with("http://") { builder.tls_certs_only([]) } else { builder };
        let http = builder.build().map_err(|_| HttpClientError)?;
        Ok(Self { http, runtime: Handle::current(), is_delivering: AtomicBool::new(true) })
    }

    /// Logs the first failure and the recovery, not the result of each batch.
    fn log_change(&self, is_delivering: bool) {
        match (self.is_delivering.swap(is_delivering, Ordering::Relaxed), is_delivering) {
            (true, false) => tracing::warn!("trace export failed"),
            (false, true) => tracing::info!("trace export recovered"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (http, request) = (self.http.clone(), request.try_into()?);
        // reqwest creates its timer at the call, which needs a runtime.
        let result = self.runtime.spawn(async move { http.execute(request).await }).await?;
        self.log_change(result.as_ref().is_ok_and(|response| response.status().is_success()));
        // The body is not read: its size has no bound.
        let status = result.map_err(reqwest::Error::without_url)?.status();
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }
}
