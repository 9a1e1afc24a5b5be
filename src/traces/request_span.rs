//! The root span of a request.

use super::traceparent;
use tracing::field::Empty;
use tracing::{Level, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The `tracing` target of root spans.
pub const REQUEST_SPAN_TARGET: &str = "claviger::request";

/// Opens the root span. `route` is the route template, never the path. `traceparent` is the caller's header: it
/// only correlates traces, and does not decide whether the request is traced.
#[must_use]
pub fn request_span(method: &'static str, route: &str, request_id: &str, traceparent: Option<&str>) -> Span {
    if !tracing::span_enabled!(target: REQUEST_SPAN_TARGET, Level::INFO) {
        return Span::none();
    }
    let name = format!("{method} {route}");
    let span = info_span!(
        target: REQUEST_SPAN_TARGET,
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        claviger.request_id = request_id,
        http.response.status_code = Empty,
        "error.type" = Empty,
        "traceId" = Empty,
    );
    if let Some(parent) = traceparent.and_then(traceparent::parse_parent) {
        // Fails only for a span that has already started.
        let _ = span.set_parent(parent);
    }
    if let Some(id) = traceparent::trace_id(&span) {
        // For the log lines of this request.
        span.record("traceId", &*id);
    }
    span
}

/// Records the status, and the error code of an error response, on the root span.
pub fn record_response(span: &Span, status: u16, code: Option<&'static str>) {
    span.record("http.response.status_code", status);
    if let Some(code) = code {
        span.record("error.type", code);
    }
}
