//! Requests for reviews, such as `TokenReview`. The API server returns the same object with a `status`.

use super::error::CallFailure;
use http::{Method, Request, header};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<S> {
    api_version: &'static str,
    kind: &'static str,
    spec: S,
}

/// The request for a review. `spec` can borrow a token, so that the only copy of the token is in the body.
pub(super) fn review_request<S: Serialize>(
    path: &str,
    api_version: &'static str,
    kind: &'static str,
    spec: S,
) -> Result<Request<Vec<u8>>, CallFailure> {
    let body = serde_json::to_vec(&Body { api_version, kind, spec }).map_err(|_| CallFailure::Malformed)?;
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|_| CallFailure::Malformed)
}
