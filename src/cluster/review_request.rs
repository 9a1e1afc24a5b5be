//! Requests for reviews, such as `TokenReview`, and their responses: the API server returns the same object with a `status`.

use super::call_failure::CallFailure;
use super::http_exchange::ApiResponse;
use http::{Method, Request, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<S> {
    api_version: &'static str,
    kind: &'static str,
    spec: S,
}

/// The response to a review. Its `spec`, which may repeat a token, is not decoded.
#[derive(Deserialize)]
struct ReviewResponse<S> {
    kind: String,
    status: S,
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

/// The `status` of a review of this kind.
///
/// # Errors
/// The response has an error status, is malformed, or is of another kind.
pub(super) fn decode_review<S: DeserializeOwned>(response: &ApiResponse, kind: &str) -> Result<S, CallFailure> {
    if !response.status.is_success() {
        return Err(response.status_failure());
    }
    let review: ReviewResponse<S> = response.decode()?;
    if review.kind == kind { Ok(review.status) } else { Err(CallFailure::Malformed) }
}
