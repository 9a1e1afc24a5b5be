//! `POST /v1/decisions`: why somebody is allowed or denied.

use super::answer::{Failure, json, method_not_allowed};
use super::policies::administrator;
use super::{Edge, body, query};
use crate::broker::Context;
use crate::wire::decision::{DecisionExplained, DecisionRequest};
use crate::wire::problem::Code;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};

/// The handler.
pub async fn handle(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.method {
        Method::POST => explain(&edge, context, &parts, body).await.into_response(),
        other => method_not_allowed(&other, "POST"),
    }
}

/// Explains the decision for a caller. Reads no secret and issues no ticket.
#[utoipa::path(
    post,
    path = "/v1/decisions",
    operation_id = "explainDecision",
    tag = "decisions",
    request_body = DecisionRequest,
    responses((status = 200, description = "The decision and the result of each policy", body = DecisionExplained))
)]
pub(super) async fn explain(edge: &Edge, context: Context, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    query::none(parts.uri.query().unwrap_or_default())?;
    if body::media_type(&parts.headers).as_deref() != Some("application/json") {
        return Err(Code::UnsupportedMediaType.into());
    }
    let body = body::read(edge, &parts.headers, body).await?;
    json(StatusCode::OK, &edge.broker.explain(&who, &body).await?)
}
