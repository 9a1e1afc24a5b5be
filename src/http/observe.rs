//! Around every request: its id, its source address, its count and its time. Logs neither headers nor bodies nor paths.
//!
//! One layer for all of it, because each has every request's whole service copied.

use super::answer::Failure;
use super::{Edge, client_address, framing, guard, vault, whole};
use crate::broker::Context;
use crate::model::request_id::RequestId;
use crate::model::via::Via;
use crate::traces;
use crate::wire::problem::Code;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::time::Instant;
use tracing::Instrument as _;

/// Puts a [`Context`] into the request, `X-Request-Id` on the answer, and the length of the answer first.
pub async fn observe(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions().get::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip);
    let request_id = RequestId::random();
    let vault_route = vault::route(edge.vault.as_deref(), route.as_ref(), request.uri().path());
    let route = route.as_ref().filter(|route| !vault::is_fallback(route)).map(MatchedPath::as_str);
    let route = vault_route.or(route).unwrap_or("unmatched");
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let span = traces::request(method, route, request_id.as_str(), traceparent);
    let client = client_address::of(peer, request.headers(), &edge.trusted_proxies);
    let context = Context {
        request_id: request_id.clone(),
        client_request_id: client_request_id(request.headers()),
        source_ip: client.ip,
        source_is_known: client.is_known,
        trace_id: traces::trace_id(&span),
        via: vault_route.map(|_| Via::Vault),
    };
    request.extensions_mut().insert(context);

    let response = match guard::refusal(&request) {
        Some(refusal) => refusal,
        None => whole::to_the_end(next.run(request).instrument(span.clone())).await,
    };
    let response = if vault_route.is_some() { vault::translated(response) } else { response };
    let response = named(response, &request_id);

    let metrics = edge.broker.metrics();
    metrics.http_request(route, method, response.status().as_u16(), started.elapsed());
    let code = response.extensions().get::<Code>().map(|code| code.as_str());
    if let Some(code) = code {
        metrics.error(code);
    }
    traces::answered(&span, response.status().as_u16(), code);
    response
}

/// The same name for the answers of the ops listener, where nothing is recorded or counted.
pub async fn name(request: Request, next: Next) -> Response {
    let response = match guard::refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    named(response, &RequestId::random())
}

fn named(mut response: Response, request_id: &RequestId) -> Response {
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    framing::length_first(response)
}

/// Takes the [`Context`] of a request.
pub fn context(parts: &mut Parts) -> Result<Context, Failure> {
    parts.extensions.remove().ok_or_else(|| Code::Internal.into())
}

/// A caller's own id is kept where it is a sane one.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let sane = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    sane.then(|| id.to_owned())
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}
