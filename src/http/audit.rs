//! `/v1/audit`: the audit log looked at by administrators.

use super::answer::{Failure, json, method_not_allowed};
use super::audit_query::{self, Asked};
use super::policies::administrator;
use super::{Edge, query};
use crate::broker::{Context, Page};
use crate::wire::audit_list::{AuditEventList, AuditVerified};
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

const NDJSON: &str = "application/x-ndjson";
/// The most items of a page where nobody says.
const DEFAULT_LIMIT: usize = 100;

/// `GET /v1/audit`.
pub async fn all(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::GET => list(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "GET"),
    }
}

/// `GET /v1/audit/verify`.
pub async fn whole(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::GET => verify(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "GET"),
    }
}

/// Lists audit events that match all filters, newest first.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "listAuditEvents",
    tag = "audit",
    params(
        ("since" = Option<String>, Query, description = "Earliest time, inclusive (RFC 3339)", format = DateTime),
        ("until" = Option<String>, Query, description = "Latest time, exclusive (RFC 3339)", format = DateTime),
        ("type" = Option<String>, Query, description = "Event type, for example `ticket.issued`", pattern = "^[a-z]+[.][a-z]+$"),
        ("subject" = Option<String>, Query, description = "Subject of the caller", min_length = 1),
        ("repo" = Option<String>, Query, description = "The repo", min_length = 1),
        ("branch" = Option<String>, Query, description = "The branch", min_length = 1),
        ("ticketId" = Option<String>, Query, description = "The ticket's public id", pattern = "^[A-Za-z0-9_-]{21}[AQgw]$"),
        ("outcome" = Option<String>, Query, description = "Outcome of the event", pattern = "^(ok|denied|failed)$"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of events (default 100; no default limit as NDJSON)"),
        ("continue" = Option<String>, Query, description = "Continuation token from the previous page")
    ),
    responses((
        status = 200,
        description = "A page of events; with `Accept: application/x-ndjson` all matching events, one per line",
        content((AuditEventList = "application/json"), (String = "application/x-ndjson"))
    ))
)]
pub(super) async fn list(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let Asked { filter, after, limit } = audit_query::read(parts.uri.query().unwrap_or_default())?;
    if wants_lines(&parts.headers) {
        let lines = edge.broker.stream_events(&who, filter, after, limit).await?;
        let headers = [(CONTENT_TYPE, NDJSON), (CACHE_CONTROL, "private, no-cache")];
        return Ok((StatusCode::OK, headers, Body::from_stream(lines)).into_response());
    }
    let page = Page { after, limit: limit.unwrap_or(DEFAULT_LIMIT) };
    let mut events = edge.broker.list_events(&who, &filter, page).await?;
    events.next = events.next.as_deref().map(query::encode);
    json(StatusCode::OK, &events)
}

/// Verifies all hash chains of the audit log.
#[utoipa::path(
    get,
    path = "/v1/audit/verify",
    operation_id = "verifyAuditLog",
    tag = "audit",
    responses((status = 200, description = "The result for all chains, and the first broken event if there is one", body = AuditVerified))
)]
pub(super) async fn verify(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    query::none(parts.uri.query().unwrap_or_default())?;
    json(StatusCode::OK, &edge.broker.verify_audit(&who).await?)
}

/// Whether `Accept` puts lines first.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split([',', ';']).next().is_some_and(|first| first.trim().eq_ignore_ascii_case(NDJSON))
}
