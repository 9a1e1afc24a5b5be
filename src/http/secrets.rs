//! `POST /v1/secrets`: returns the bundle in the response, without a ticket.

use super::bundle_request::BundleRequest;
use super::bundle_response::{self, AcceptedFormat};
use super::responses::ApiError;
use crate::broker::{Broker, IssueRequest};
use crate::wire::ticket::SecretsRequest;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

/// Returns the bundle in one request, if the policies' `delivery` lists `direct`.
#[utoipa::path(
    post,
    path = "/v1/secrets",
    operation_id = "readSecrets",
    tag = "builds",
    request_body(content((SecretsRequest = "application/json"), (SecretsRequest = "application/x-www-form-urlencoded"))),
    responses((
        status = 200,
        description = "The bundle",
        content(
            (String = "text/plain"),
            (Object = "application/json"),
            (String = "application/octet-stream"),
            (String = "application/x-tar")
        )
    ))
)]
pub(super) async fn deliver(
    State(broker): State<Arc<Broker>>,
    AcceptedFormat(accepted): AcceptedFormat,
    bundle_request: BundleRequest<SecretsRequest>,
) -> Result<Response, ApiError> {
    let BundleRequest { caller, context, request, format, .. } = bundle_request;
    // The body takes precedence over `Accept`.
    let format = format.unwrap_or(accepted);
    let delivered =
        broker.deliver(&IssueRequest { caller, body: request, context, sizes: false }, &format.into(), None).await?;
    Ok(bundle_response::build(delivered)?)
}
