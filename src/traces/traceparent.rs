//! W3C trace context: the header `traceparent`. `tracestate` is ignored.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::sync::Arc;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// A carrier that has only the value of `traceparent`.
struct TraceparentCarrier<'a>(&'a str);

impl Extractor for TraceparentCarrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// Parses a `traceparent` header. `None` if it is invalid.
pub(super) fn parse_parent(traceparent: &str) -> Option<Context> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &TraceparentCarrier(traceparent));
    context.span().span_context().is_valid().then_some(context)
}

/// The trace ID of a span as 32 hexadecimal digits. `None` if the span is not traced.
#[must_use]
pub fn trace_id(span: &Span) -> Option<Arc<str>> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let id = span.span_context().is_valid().then(|| span.span_context().trace_id())?;
    Some(id.to_string().into())
}

/// The `traceparent` header for calls in the current span. `None` if the span is not traced.
#[must_use]
pub fn traceparent() -> Option<String> {
    let current = Span::current();
    if current.is_disabled() {
        return None;
    }
    let context = current.context();
    let span = context.span();
    let span = span.span_context();
    let flags = span.trace_flags().to_u8();
    span.is_valid().then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_traceparents_are_parsed_and_others_refused() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let context = parse_parent(good).expect("a context");
        let span = context.span();
        assert_eq!(span.span_context().trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.span_context().span_id().to_string(), "b7ad6b7169203331");
        for bad in [
            "",
            "x",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-hunter2hunter2hunter2hunter2hunt-b7ad6b7169203331-01",
        ] {
            assert!(parse_parent(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_disabled_span_has_no_trace_id_and_no_traceparent() {
        assert_eq!((trace_id(&Span::none()), traceparent()), (None, None));
    }
}
