//! The root span of a request.

use super::context;
use tracing::field::Empty;
use tracing::{Level, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of the root spans.
pub const REQUEST: &str = "claviger::request";

/// Opens the root span. `route` is the route template, never the path. `traceparent` is the caller's header: it
/// only correlates traces, and does not decide whether the request is traced.
#[must_use]
pub fn request(method: &'static str, route: &str, request_id: &str, traceparent: Option<&str>) -> Span {
    if !tracing::span_enabled!(target: REQUEST, Level::INFO) {
        return Span::none();
    }
    let name = format!("{method} {route}");
    let span = info_span!(
        target: REQUEST,
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
    if let Some(parent) = traceparent.and_then(context::parent) {
        // Fails only for a span that has already started.
        let _ = span.set_parent(parent);
    }
    if let Some(id) = context::trace_id(&span) {
        // For the log lines of this request.
        span.record("traceId", &*id);
    }
    span
}

/// Records the answer on the root span: its status, and the error code if it is an error.
pub fn answered(span: &Span, status: u16, code: Option<&'static str>) {
    span.record("http.response.status_code", status);
    if let Some(code) = code {
        span.record("error.type", code);
    }
}
