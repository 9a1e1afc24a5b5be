//! `GET` and `DELETE /v1/tickets`, `DELETE /v1/tickets/{ticketId}`: outstanding tickets, for administrators.

use super::paging::{self, Paging};
use super::path_parameter::PathId;
use super::query::NoQuery;
use super::responses::{ApiError, json};
use crate::broker::{Administrator, Broker, Page, TicketSelector};
use crate::wire::ticket_object::{TicketList, TicketsRevoked};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Lists outstanding tickets of all replicas, newest first.
#[utoipa::path(
    get,
    path = "/v1/tickets",
    operation_id = "listTickets",
    tag = "tickets",
    params(Paging),
    responses((status = 200, description = "A page of outstanding tickets", body = TicketList))
)]
pub(super) async fn list(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    page: Page<String>,
) -> Result<Response, ApiError> {
    let mut tickets = broker.list_tickets(&administrator, page).await?;
    tickets.continue_token = tickets.continue_token.as_deref().map(paging::encode_token);
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
pub(super) async fn revoke_all(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    selector: TicketSelector,
) -> Result<Response, ApiError> {
    let revoked = broker.revoke_tickets(&administrator, &selector).await?;
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
pub(super) async fn revoke(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    _: NoQuery,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    broker.revoke_ticket(&administrator, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
