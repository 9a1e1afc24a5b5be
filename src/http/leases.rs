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

/// Leases, newest first: dynamic ones of every replica, static ones of the cache of the replica that answers.
#[utoipa::path(
    get,
    path = "/v1/leases",
    operation_id = "listLeases",
    tag = "leases",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The most items; 100 without"),
        ("continue" = Option<String>, Query, description = "What the page before answered as `continue`")
    ),
    responses((status = 200, description = "A page of leases", body = LeaseList))
)]
pub(super) async fn list(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let mut leases = edge.broker.list_leases(&who, query::page(query_of(parts))?).await?;
    leases.next = leases.next.as_deref().map(query::encode);
    json(StatusCode::OK, &leases)
}

/// Takes back every lease of a store, at one path or at all: evicts static ones, revokes dynamic ones at the store.
#[utoipa::path(
    delete,
    path = "/v1/leases",
    operation_id = "deleteLeases",
    tag = "leases",
    params(
        ("store" = String, Query, max_length = 253, description = "The configured name of the store"),
        ("path" = Option<String>, Query, description = "The path; all without")
    ),
    responses(
        (status = 202, description = "Nobody gets them any more; taking some back goes on"),
        (status = 204, description = "They are gone")
    )
)]
pub(super) async fn end_all(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let (store, path) = query::place(query_of(parts))?;
    Ok(ended(edge.broker.end_leases(&who, &store, path.as_deref()).await?))
}

/// Takes a lease back: evicts a static one, revokes a dynamic one at its store.
#[utoipa::path(
    delete,
    path = "/v1/leases/{leaseId}",
    operation_id = "deleteLease",
    tag = "leases",
    params(("leaseId" = String, Path, description = "Its id, as a list has it", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 202, description = "Nobody gets it any more; taking it back goes on"),
        (status = 204, description = "It is gone")
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
