//! `POST /v1/decisions`: explains why a caller is allowed or denied, for administrators.

use super::body::JsonBody;
use super::query::NoQuery;
use super::responses::{ApiError, json};
use crate::broker::{Administrator, Broker};
use crate::wire::decision::{DecisionExplained, DecisionRequest};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Explains the decision for a caller. Reads no secret and issues no ticket.
#[utoipa::path(
    post,
    path = "/v1/decisions",
    operation_id = "explainDecision",
    tag = "decisions",
    request_body = DecisionRequest,
    responses((status = 200, description = "The decision and the result of each policy", body = DecisionExplained))
)]
pub(super) async fn explain(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    json(StatusCode::OK, &broker.explain(&administrator, &body).await?)
}
