//! The handlers of the ops listener: metrics and probes.

use super::responses::{ApiError, method_not_allowed};
use super::state::HttpState;
use crate::wire::problem::Code;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};

/// Returns the metrics in the Prometheus text format.
pub async fn metrics(State(state): State<HttpState>) -> Response {
    state.broker.update_gauges().await;
    match state.broker.metrics().encode() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(_) => ApiError::from(Code::Internal).into_response(),
    }
}

/// The response to methods other than `GET`.
pub async fn only_get(method: Method) -> Response {
    method_not_allowed(&method, HeaderValue::from_static("GET"))
}

/// Returns 200 while the process is alive.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Returns 200 while tickets can be issued; otherwise 503 with the reason.
pub async fn readyz(State(state): State<HttpState>) -> Response {
    let Some(code) = state.broker.not_ready_reason() else { return "ok\n".into_response() };
    let mut text = format!("not ready: {}: {}\n", code.as_str(), code.title());
    for cluster in state.broker.unread_clusters() {
        // `cluster` is the configured name of an authenticator.
        text = format!("{text}the policies of the cluster {cluster} have not been read\n");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
