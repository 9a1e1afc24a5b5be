//! `/v1/leases`: lists and revokes leases, for administrators.

use super::paging::{self, Paging};
use super::path_parameter::PathId;
use super::query::{LeaseSelector, NoQuery};
use super::responses::{ApiError, json};
use crate::broker::{Administrator, Broker, LeasePosition, Page, RevocationProgress};
use crate::wire::lease::LeaseList;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Lists leases, newest first: dynamic leases of all replicas, and cached static secrets of the replica that answers.
#[utoipa::path(
    get,
    path = "/v1/leases",
    operation_id = "listLeases",
    tag = "leases",
    params(Paging),
    responses((status = 200, description = "A page of leases", body = LeaseList))
)]
pub(super) async fn list(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    page: Page<LeasePosition>,
) -> Result<Response, ApiError> {
    let mut leases = broker.list_leases(&administrator, page).await?;
    leases.continue_token = leases.continue_token.as_deref().map(paging::encode_token);
    json(StatusCode::OK, &leases)
}

/// Revokes all leases of a store, or those of one path. Static secrets are evicted from the cache, dynamic leases are revoked at the store.
#[utoipa::path(
    delete,
    path = "/v1/leases",
    operation_id = "deleteLeases",
    tag = "leases",
    params(
        ("store" = String, Query, max_length = 253, description = "The configured name of the store"),
        ("path" = Option<String>, Query, description = "Path in the store (default: all paths)")
    ),
    responses(
        (status = 202, description = "Revocation in progress; the leases are no longer handed out"),
        (status = 204, description = "All leases revoked")
    )
)]
pub(super) async fn end_all(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    LeaseSelector { store, path }: LeaseSelector,
) -> Result<StatusCode, ApiError> {
    Ok(status(broker.end_leases(&administrator, &store, path.as_deref()).await?))
}

/// Revokes one lease. A static secret is evicted from the cache, a dynamic lease is revoked at its store.
#[utoipa::path(
    delete,
    path = "/v1/leases/{leaseId}",
    operation_id = "deleteLease",
    tag = "leases",
    params(("leaseId" = String, Path, description = "Lease id from the list", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 202, description = "Revocation in progress; the lease is no longer handed out"),
        (status = 204, description = "The lease is revoked")
    )
)]
pub(super) async fn end(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    _: NoQuery,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    Ok(status(broker.end_lease(&administrator, &id).await?))
}

const fn status(revoked: RevocationProgress) -> StatusCode {
    match revoked {
        RevocationProgress::Done => StatusCode::NO_CONTENT,
        RevocationProgress::InProgress => StatusCode::ACCEPTED,
    }
}
