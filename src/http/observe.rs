//! The layer around all handlers: request ID, span, source address and metrics. Headers, bodies and paths
//! are not logged.

use super::detached_handler::run_detached;
use super::responses::ApiError;
use super::state::HttpState;
use super::vault::api::VaultApi;
use super::{client_address, framing, request_guard, ticket_requests, traced_body, vault};
use crate::broker::Context;
use crate::model::compatible_api::CompatibleApi;
use crate::model::request_id::RequestId;
use crate::traces;
use crate::wire::problem::Code;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id and the route of a request.
struct RequestIdentity {
    id: RequestId,
    /// The matched route. `None` for an unknown path, and for a request to the Vault-compatible API.
    matched: Option<MatchedPath>,
    /// The template of the path, if the request is one to the Vault-compatible API.
    vault: Option<&'static str>,
}

impl RequestIdentity {
    fn new(request: &Request, api: Option<&VaultApi>) -> Self {
        let matched = request.extensions().get::<MatchedPath>();
        let vault = vault::route(api, matched, request.uri().path());
        let matched = matched.filter(|matched| !vault::is_fallback(matched)).cloned();
        Self { id: RequestId::random(), matched, vault }
    }

    /// The template of the path, never the path itself. `unmatched` for an unknown path.
    fn route(&self) -> &str {
        self.vault.or(self.matched.as_ref().map(MatchedPath::as_str)).unwrap_or("unmatched")
    }

    /// The span of the request: its method, the template of its route, and its id.
    fn span(&self, request: &Request) -> Span {
        let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        traces::request_span(method_label(request.method()), self.route(), self.id.as_str(), traceparent)
    }
}

/// Opens the span of a request, and records the status and the error code of the response in the span.
pub async fn observe(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let identity = RequestIdentity::new(&request, state.vault.as_deref());
    let span = identity.span(&request);
    let response = handle_request(state, request, next, identity).instrument(span.clone()).await;
    if span.is_disabled() {
        return response;
    }
    traces::record_response(&span, response.status().as_u16(), error_code(&response));
    traced_body::in_span(response, span)
}

/// Runs the handler with the [`Context`] of the request. Adds `X-Request-Id` to the response, makes its length the first header,
/// and counts the request.
async fn handle_request(state: HttpState, mut request: Request, next: Next, identity: RequestIdentity) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let peer = request.extensions().get::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip);
    let client = client_address::determine(peer, request.headers(), &state.trusted_proxies);
    let context = Context {
        request_id: identity.id.clone(),
        client_request_id: client_request_id(request.headers()),
        source_ip: client.ip,
        source_is_known: client.is_known,
        trace_id: traces::trace_id(&Span::current()),
        via: identity.vault.map(|_| CompatibleApi::Vault),
    };
    request.extensions_mut().insert(context);

    let response = match request_guard::refusal(&request) {
        Some(refusal) => {
            // The handler, which counts requests for tickets, does not run.
            if method == "POST" && identity.route() == ticket_requests::TEMPLATE {
                ticket_requests::count(&state.broker, refusal.extensions().get().copied());
            }
            refusal
        }
        None => run_detached(next.run(request)).await,
    };
    let response = if identity.vault.is_some() { vault::into_vault_error(response) } else { response };
    let response = with_request_id(response, &identity.id);

    let metrics = state.broker.metrics();
    metrics.record_http_request(identity.route(), method, response.status().as_u16(), started.elapsed());
    if let Some(code) = error_code(&response) {
        metrics.count_error(code);
    }
    response
}

/// The layer of the ops listener: adds a request ID, and makes the length the first header. Nothing is recorded or counted.
pub async fn add_request_id(request: Request, next: Next) -> Response {
    let response = match request_guard::refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    with_request_id(response, &RequestId::random())
}

/// Takes the [`Context`] out of a request. A second call fails with `internal`.
pub fn context(parts: &mut Parts) -> Result<Context, ApiError> {
    parts.extensions.remove().ok_or_else(|| Code::Internal.into())
}

fn with_request_id(mut response: Response, request_id: &RequestId) -> Response {
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    framing::length_first(response)
}

/// The error code of a response. `None` if it is not an error.
fn error_code(response: &Response) -> Option<&'static str> {
    response.extensions().get::<Code>().map(|code| code.as_str())
}

/// A caller's own id, if it has 1 to 64 characters of a safe alphabet. It never replaces ours.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_valid = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    is_valid.then(|| id.to_owned())
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
