//! `/v1/leases`: leases looked at and taken back by administrators.

use super::answer::{Failure, json, method_not_allowed};
use super::policies::administrator;
use super::{Edge, query};
use crate::broker::{Context, Revoked};
use crate::wire::lease::LeaseList;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};

const PREFIX: &str = "/v1/leases/";

/// `GET` and `DELETE /v1/leases`.
pub async fn all(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::GET => list(&edge, context, &parts).await.into_response(),
        Method::DELETE => end_all(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "GET, DELETE"),
    }
}

/// `DELETE /v1/leases/{leaseId}`.
pub async fn one(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::DELETE => end(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "DELETE"),
    }
}

/// Lists leases, newest first: dynamic leases of all replicas, and cached static secrets of the replica that answers.
#[utoipa::path(
    get,
    path = "/v1/leases",
    operation_id = "listLeases",
    tag = "leases",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items (default 100)"),
        ("continue" = Option<String>, Query, description = "Continuation token from the previous page")
    ),
    responses((status = 200, description = "A page of leases", body = LeaseList))
)]
pub(super) async fn list(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let mut leases = edge.broker.list_leases(&who, query::page(query_of(parts))?).await?;
    leases.next = leases.next.as_deref().map(query::encode);
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
pub(super) async fn end_all(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let (store, path) = query::place(query_of(parts))?;
    Ok(ended(edge.broker.end_leases(&who, &store, path.as_deref()).await?))
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
pub(super) async fn end(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    query::none(query_of(parts))?;
    let id = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    Ok(ended(edge.broker.end_lease(&who, &id).await?))
}

fn ended(revoked: Revoked) -> Response {
    match revoked {
        Revoked::Done => StatusCode::NO_CONTENT.into_response(),
        Revoked::GoesOn => StatusCode::ACCEPTED.into_response(),
    }
}

fn query_of(parts: &Parts) -> &str {
    parts.uri.query().unwrap_or_default()
}
