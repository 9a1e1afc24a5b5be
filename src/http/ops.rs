//! Handlers of the ops listener.

use super::answer::{Failure, method_not_allowed};
use super::edge::Edge;
use crate::wire::problem::Code;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};

/// The Prometheus text format.
pub async fn metrics(State(edge): State<Edge>) -> Response {
    edge.broker.update_gauges().await;
    match edge.broker.metrics().encode() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(_) => Failure::from(Code::Internal).into_response(),
    }
}

/// The answer to methods other than `GET`.
pub async fn only_get(method: Method) -> Response {
    method_not_allowed(&method, HeaderValue::from_static("GET"))
}

/// The process is alive.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Tickets can be issued.
pub async fn readyz(State(edge): State<Edge>) -> Response {
    let Some(code) = edge.broker.not_ready_reason() else { return "ok\n".into_response() };
    let mut text = format!("not ready: {}: {}\n", code.as_str(), code.title());
    for cluster in edge.broker.unread_clusters() {
        // The name of an authenticator, from the configuration.
        text = format!("{text}the policies of the cluster {cluster} have not been read\n");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
