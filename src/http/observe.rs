//! The outermost layer of every request: request ID, span, source address and metrics. Headers, bodies and paths
//! are not logged.

use super::answer::Failure;
use super::detached::detached;
use super::edge::Edge;
use super::vault::api::VaultApi;
use super::{client_address, framing, guard, vault};
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
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Span;

/// The id and the route of a request.
#[derive(Clone)]
struct Identity {
    id: RequestId,
    matched: Option<MatchedPath>,
    /// The template, if the request is one to the Vault-compatible API.
    vault: Option<&'static str>,
}

impl Identity {
    fn new(request: &Request, api: Option<&VaultApi>) -> Self {
        let matched = request.extensions().get::<MatchedPath>();
        let vault = vault::route(api, matched, request.uri().path());
        let matched = matched.filter(|matched| !vault::is_fallback(matched)).cloned();
        Self { id: RequestId::random(), matched, vault }
    }

    /// The template of the path, never the path.
    fn route(&self) -> &str {
        self.vault.or(self.matched.as_ref().map(MatchedPath::as_str)).unwrap_or("unmatched")
    }
}

/// Assigns the request ID and the route.
pub fn identify(api: Option<Arc<VaultApi>>) -> impl Fn(Request) -> Request + Clone + Send + Sync + 'static {
    move |mut request| {
        let identity = Identity::new(&request, api.as_deref());
        request.extensions_mut().insert(identity);
        request
    }
}

/// The span of a request: its method, the template of its route, and its id.
pub fn span(request: &Request) -> Span {
    let Some(identity) = request.extensions().get::<Identity>() else { return Span::none() };
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    traces::request(method_label(request.method()), identity.route(), identity.id.as_str(), traceparent)
}

/// Records the status and the error code of an answer in the span of its request.
pub fn answered(response: &Response, _: Duration, span: &Span) {
    traces::answered(span, response.status().as_u16(), code(response));
}

/// Puts a [`Context`] into the request, `X-Request-Id` on the answer, and the length of the answer first.
pub async fn observe(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let identity = request.extensions_mut().remove::<Identity>();
    let identity = identity.unwrap_or_else(|| Identity::new(&request, edge.vault.as_deref()));
    let peer = request.extensions().get::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip);
    let client = client_address::of(peer, request.headers(), &edge.trusted_proxies);
    let context = Context {
        request_id: identity.id.clone(),
        client_request_id: client_request_id(request.headers()),
        source_ip: client.ip,
        source_is_known: client.is_known,
        trace_id: traces::trace_id(&Span::current()),
        via: identity.vault.map(|_| Via::Vault),
    };
    request.extensions_mut().insert(context);

    let response = match guard::refusal(&request) {
        Some(refusal) => refusal,
        None => detached(next.run(request)).await,
    };
    let response = if identity.vault.is_some() { vault::into_vault_error(response) } else { response };
    let response = named(response, &identity.id);

    let metrics = edge.broker.metrics();
    metrics.http_request(identity.route(), method, response.status().as_u16(), started.elapsed());
    if let Some(code) = code(&response) {
        metrics.error(code);
    }
    response
}

/// The layer of the ops listener: adds a request ID, and puts the length first. Nothing is recorded or counted.
pub async fn name(request: Request, next: Next) -> Response {
    let response = match guard::refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    named(response, &RequestId::random())
}

/// Takes the [`Context`] of a request.
pub fn context(parts: &mut Parts) -> Result<Context, Failure> {
    parts.extensions.remove().ok_or_else(|| Code::Internal.into())
}

fn named(mut response: Response, request_id: &RequestId) -> Response {
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    framing::length_first(response)
}

fn code(response: &Response) -> Option<&'static str> {
    response.extensions().get::<Code>().map(|code| code.as_str())
}

/// A caller's own id, if it has 1 to 64 characters of a safe alphabet. It never replaces ours.
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
