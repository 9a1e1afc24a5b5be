//! `GET` and `DELETE /v1/tickets`, `DELETE /v1/tickets/{ticketId}`: tickets that wait, for administrators.

use super::answer::{Failure, json, method_not_allowed};
use super::policies::administrator;
use super::{Edge, query};
use crate::broker::Context;
use crate::wire::ticket_object::{TicketList, TicketsRevoked};
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};

/// `DELETE /v1/tickets/{ticketId}`.
pub async fn one(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::DELETE => revoke(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "DELETE"),
    }
}

/// Lists outstanding tickets of all replicas, newest first.
#[utoipa::path(
    get,
    path = "/v1/tickets",
    operation_id = "listTickets",
    tag = "tickets",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items (default 100)"),
        ("continue" = Option<String>, Query, description = "Continuation token from the previous page")
    ),
    responses((status = 200, description = "A page of outstanding tickets", body = TicketList))
)]
pub(super) async fn list(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let page = query::page(parts.uri.query().unwrap_or_default())?;
    let mut tickets = edge.broker.list_tickets(&who, page).await?;
    tickets.next = tickets.next.as_deref().map(query::encode);
    json(StatusCode::OK, &tickets)
}

/// Revokes every outstanding ticket that matches all given parameters. At least one parameter is required.
#[utoipa::path(
    delete,
    path = "/v1/tickets",
    operation_id = "revokeTickets",
    tag = "tickets",
    params(
        ("policy" = Option<String>, Query, min_length = 1, max_length = 253, description = "Name of a policy that allowed the ticket"),
        ("subject" = Option<String>, Query, min_length = 1, max_length = 1024, description = "Subject of the caller who requested it"),
        ("repo" = Option<String>, Query, min_length = 1, max_length = 1024, description = "Repository it was requested for")
    ),
    responses((status = 200, description = "The number of tickets revoked", body = TicketsRevoked))
)]
pub(super) async fn revoke_all(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let selector = query::tickets(parts.uri.query().unwrap_or_default())?;
    let revoked = edge.broker.revoke_tickets(&who, &selector).await?;
    json(StatusCode::OK, &TicketsRevoked { revoked })
}

/// Revokes an outstanding ticket. Its URL then answers `ticket_revoked`.
#[utoipa::path(
    delete,
    path = "/v1/tickets/{ticketId}",
    operation_id = "revokeTicket",
    tag = "tickets",
    params(("ticketId" = String, Path, description = "The ticket's public id", pattern = "^[A-Za-z0-9_-]{22}$")),
    responses((status = 204, description = "The ticket is revoked"))
)]
pub(super) async fn revoke(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    query::none(parts.uri.query().unwrap_or_default())?;
    // As it stands in the path: no ticket's id needs to be decoded.
    let id = parts.uri.path().rsplit('/').next().unwrap_or_default();
    edge.broker.revoke_ticket(&who, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
