//! What is done around all handlers: request ID, span, source address and metrics. Headers, bodies and paths
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
use http::header::{AUTHORIZATION, Entry};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Headers whose value no `Debug` output shows.
const CREDENTIALS: [HeaderName; 3] =
    [AUTHORIZATION, HeaderName::from_static("x-vault-token"), HeaderName::from_static("idempotency-key")];

/// The id, the route and the peer of a request.
struct RequestIdentity {
    id: RequestId,
    route: Route,
    peer: IpAddr,
}

/// The route of a request.
enum Route {
    /// The template of a path whose handler is called directly.
    Direct(&'static str),
    Matched(MatchedPath),
    /// The template of a path of the Vault-compatible API.
    Vault(&'static str),
    /// An unknown path.
    Unmatched,
}

impl Route {
    fn matched(request: &Request, api: Option<&VaultApi>) -> Self {
        let matched = request.extensions().get::<MatchedPath>();
        match (vault::route(api, matched, request.uri().path()), matched) {
            (Some(template), _) => Self::Vault(template),
            (None, Some(matched)) if !vault::is_fallback(matched) => Self::Matched(matched.clone()),
            (None, _) => Self::Unmatched,
        }
    }

    /// The template of the path, never the path itself. `unmatched` for an unknown path.
    fn template(&self) -> &str {
        match self {
            Self::Matched(matched) => matched.as_str(),
            Self::Direct(template) | Self::Vault(template) => template,
            Self::Unmatched => "unmatched",
        }
    }

    const fn is_vault(&self) -> bool {
        matches!(self, Self::Vault(_))
    }
}

impl RequestIdentity {
    fn new(route: Route, peer: IpAddr) -> Self {
        Self { id: RequestId::random(), route, peer }
    }

    /// The span of the request: its method, the template of its route, and its id.
    fn span(&self, request: &Request) -> Span {
        let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        traces::request_span(method_label(request.method()), self.route.template(), self.id.as_str(), traceparent)
    }
}

/// The layer around the handlers of the router.
pub async fn observe(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip);
    let identity = RequestIdentity::new(Route::matched(&request, state.vault.as_deref()), peer);
    observe_handler(state, request, identity, |_, request| next.run(request)).await
}

/// Does the same around a handler that is called directly. `template` is that of the path.
pub async fn observe_direct<F>(
    state: HttpState,
    request: Request,
    peer: SocketAddr,
    template: &'static str,
    handler: impl FnOnce(HttpState, Request) -> F + Send,
) -> Response
where
    F: Future<Output = Response> + Send + 'static,
{
    let identity = RequestIdentity::new(Route::Direct(template), peer.ip());
    observe_handler(state, request, identity, handler).await
}

/// Opens the span of a request, and records the status and the error code of the response in the span.
async fn observe_handler<F>(
    state: HttpState,
    request: Request,
    identity: RequestIdentity,
    handler: impl FnOnce(HttpState, Request) -> F + Send,
) -> Response
where
    F: Future<Output = Response> + Send + 'static,
{
    let span = identity.span(&request);
    let response = handle_request(state, request, identity, handler).instrument(span.clone()).await;
    if span.is_disabled() {
        return response;
    }
    traces::record_response(&span, response.status().as_u16(), error_code(&response));
    traced_body::in_span(response, span)
}

/// Runs the handler with the [`Context`] of the request. Adds `X-Request-Id` to the response, makes its length the first header,
/// and counts the request.
async fn handle_request<F>(
    state: HttpState,
    mut request: Request,
    identity: RequestIdentity,
    handler: impl FnOnce(HttpState, Request) -> F + Send,
) -> Response
where
    F: Future<Output = Response> + Send + 'static,
{
    let started = Instant::now();
    let method = method_label(request.method());
    let client = client_address::determine(identity.peer, request.headers(), &state.trusted_proxies);
    let context = Context {
        request_id: identity.id.clone(),
        client_request_id: client_request_id(request.headers()),
        source_ip: client.ip,
        source_is_known: client.is_known,
        trace_id: traces::trace_id(&Span::current()),
        via: identity.route.is_vault().then_some(CompatibleApi::Vault),
    };
    request.extensions_mut().insert(context);
    hide_credentials(request.headers_mut());

    let response = match request_guard::refusal(&request) {
        Some(refusal) => {
            // The handler, which counts requests for tickets, does not run.
            if method == "POST" && identity.route.template() == ticket_requests::TEMPLATE {
                ticket_requests::count(&state.broker, refusal.extensions().get().copied());
            }
            refusal
        }
        None => run_detached(handler(state.clone(), request)).await,
    };
    let response = if identity.route.is_vault() { vault::into_vault_error(response) } else { response };
    let response = with_request_id(response, &identity.id);

    let metrics = state.broker.metrics();
    let status = response.status().as_u16();
    metrics.record_http_request(identity.route.template(), method, status, started.elapsed());
    if let Some(code) = error_code(&response) {
        metrics.count_error(code);
    }
    response
}

/// Marks the values of [`CREDENTIALS`].
fn hide_credentials(headers: &mut HeaderMap) {
    for name in CREDENTIALS {
        if let Entry::Occupied(mut values) = headers.entry(name) {
            values.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }
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
