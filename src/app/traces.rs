//! Where spans go: in batches, in the background, to an OTLP receiver over HTTP. Off unless it is configured.

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

/// How long the receiver may take for a batch.
const DELIVERED_WITHIN: Duration = Duration::from_secs(5);
/// How long the last spans may take at the end.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// There is no client for the receiver.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("telemetry.otlpEndpoint: there is no HTTP client for it; are there roots to check its certificate with?")]
pub struct NoCourier;

/// What delivers spans until it is ended.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts to deliver to the receiver at this base address.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub(super) fn start(endpoint: &str) -> Result<Self, NoCourier> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Courier::new(endpoint)?)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(DELIVERED_WITHIN)
            .build()
            .map_err(|_| NoCourier)?;
        let provider = SdkTracerProvider::builder()
            // Whether a request is traced is for us to say: a caller's flag neither hides one nor asks for one.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(Resource::builder_empty().with_service_name("claviger").build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    /// What makes spans of it.
    pub(super) const fn provider(&self) -> &SdkTracerProvider {
        &self.0
    }

    /// Delivers what waits, and nothing more.
    pub fn end(self) {
        // Whoever cannot be reached has been complained about.
        let _ = self.0.shutdown_with_timeout(LAST_SPANS);
    }
}

/// Carries batches. They come from a thread of the exporter's own, which has no runtime.
#[derive(Debug)]
struct Courier {
    http: reqwest::Client,
    runtime: Handle,
    delivers: AtomicBool,
}

impl Courier {
    fn new(endpoint: &str) -> Result<Self, NoCourier> {
        let builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .timeout(DELIVERED_WITHIN);
        // Without TLS there is nothing to check.
        let builder = if endpoint.starts_with("http://") { builder.tls_certs_only([]) } else { builder };
        let http = builder.build().map_err(|_| NoCourier)?;
        Ok(Self { http, runtime: Handle::current(), delivers: AtomicBool::new(true) })
    }

    /// Says so when it begins to fail and when it is over, not for each batch.
    fn tell(&self, delivers: bool) {
        match (self.delivers.swap(delivers, Ordering::Relaxed), delivers) {
            (true, false) => tracing::warn!("trace export failed"),
            (false, true) => tracing::info!("trace export recovered"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (http, request) = (self.http.clone(), request.try_into()?);
        // Its timer wants a runtime from the first.
        let answer = self.runtime.spawn(async move { http.execute(request).await }).await?;
        self.tell(answer.as_ref().is_ok_and(|answer| answer.status().is_success()));
        // What the receiver says beyond its status is not read: it may say as much as it likes.
        let status = answer.map_err(reqwest::Error::without_url)?.status();
        Ok(Response::builder().status(status).body(Bytes::new())?)
    }
}
