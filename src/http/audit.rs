//! `/v1/audit`: reads and verifies the audit log, for administrators.

use super::accept_header::JsonLines;
use super::audit_query::AuditQuery;
use super::paging::{self, DEFAULT_LIMIT};
use super::query::NoQuery;
use super::responses::{ApiError, json};
use crate::broker::{Administrator, Broker, Page};
use crate::wire::audit_list::{AuditEventList, AuditVerified};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::sync::Arc;

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
        description = "A page of events, which has fewer than `limit` or none if the search takes long; with `Accept: application/x-ndjson` all matching events, one per line",
        content((AuditEventList = "application/json"), (String = "application/x-ndjson"))
    ))
)]
pub(super) async fn list(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    AuditQuery { filter, after, limit }: AuditQuery,
    JsonLines(as_lines): JsonLines,
) -> Result<Response, ApiError> {
    if as_lines {
        let lines = broker.stream_events(&administrator, filter, after, limit).await?;
        let headers = [(CONTENT_TYPE, JsonLines::MEDIA_TYPE), (CACHE_CONTROL, "private, no-cache")];
        return Ok((StatusCode::OK, headers, Body::from_stream(lines)).into_response());
    }
    let page = Page { after, limit: limit.unwrap_or(DEFAULT_LIMIT) };
    let mut events = broker.list_events(&administrator, &filter, page).await?;
    events.continue_token = events.continue_token.as_deref().map(paging::encode_token);
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
pub(super) async fn verify(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    _: NoQuery,
) -> Result<Response, ApiError> {
    json(StatusCode::OK, &broker.verify_audit(&administrator).await?)
}
