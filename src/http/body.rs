//! Reads a request's body within bounds of size and time.

use super::answer::Failure;
use super::edge::Edge;
use crate::wire::problem::Code;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt as _, Limited};

/// Reads a body of at most [`Edge::body_bytes`] within [`Edge::body_timeout`].
pub async fn read(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<Bytes, Code> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > edge.body_bytes) {
        return Err(Code::PayloadTooLarge);
    }
    let body = tokio::time::timeout(edge.body_timeout, Limited::new(body, edge.body_bytes).collect())
        .await
        .map_err(|_| Code::RequestTimeout)?
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() { Code::PayloadTooLarge } else { Code::InvalidRequest }
        })?;
    Ok(body.to_bytes())
}

/// The media type in lower case, without parameters (`charset=utf-8`): every format that is read here is UTF-8.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let essence = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    Some(essence.to_ascii_lowercase())
}

/// A body whose media type is JSON, not parsed.
pub struct Json(pub Bytes);

impl FromRequest<Edge> for Json {
    type Rejection = Failure;

    async fn from_request(request: Request, edge: &Edge) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        if media_type(&parts.headers).as_deref() != Some("application/json") {
            return Err(Code::UnsupportedMediaType.into());
        }
        Ok(Self(read(edge, &parts.headers, body).await?))
    }
}
