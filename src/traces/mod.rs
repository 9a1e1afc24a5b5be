//! Tracing: the spans of a request, their attributes, and W3C trace context, received and sent.
//!
//! A request is one trace: a root span named by its route, and a span for each stage. Attributes are
//! values of closed enums and the request ID, never a repo, a branch, a subject, a path, a token or a ticket. Without
//! an OTLP endpoint every span is disabled.

mod request_span;
mod stage;
mod traceparent;

pub use request_span::{REQUEST_SPAN_TARGET, record_response, request_span};
pub use stage::{STAGE_SPAN_TARGET, Stage};
pub use traceparent::{trace_id, traceparent};
