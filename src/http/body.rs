//! Reads the body of a request, bounded in size and time.

use super::responses::ApiError;
use super::state::HttpState;
use crate::wire::problem::Code;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, Limited};

/// Reads a body of at most `state.body_bytes` within `state.body_timeout`.
///
/// # Errors
/// `payload_too_large`, `request_timeout`; `invalid_request` if the client disconnects.
pub async fn read(state: &HttpState, headers: &HeaderMap, body: Body) -> Result<Bytes, Code> {
    let content_length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if content_length.is_some_and(|length| length > state.body_bytes) {
        return Err(Code::PayloadTooLarge);
    }
    let body = tokio::time::timeout(state.body_timeout, Limited::new(body, state.body_bytes).collect())
        .await
        .map_err(|_| Code::RequestTimeout)?
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() { Code::PayloadTooLarge } else { Code::InvalidRequest }
        })?;
    Ok(body.to_bytes())
}

/// The media type of `Content-Type` in lower case, without parameters. A `charset` is ignored: all accepted formats are UTF-8.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let media_type = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    Some(media_type.to_ascii_lowercase())
}

/// The unparsed body of a request with the media type JSON.
pub struct JsonBody(pub Bytes);

impl FromRequest<HttpState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if media_type(&parts.headers).as_deref() != Some("application/json") {
            return Err(Code::UnsupportedMediaType.into());
        }
        Ok(Self(read(state, &parts.headers, body).await?))
    }
}
