//! The `Accept` header: only the media type that it lists first counts.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::ACCEPT;
use http::request::Parts;
use std::convert::Infallible;

/// The media type listed first, without its parameters; empty without the header.
pub fn first(headers: &HeaderMap) -> &str {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split([',', ';']).next().unwrap_or_default().trim()
}

/// Whether a client prefers plain text to JSON.
pub struct PlainText(pub bool);

impl<S: Sync> FromRequestParts<S> for PlainText {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(first(&parts.headers).eq_ignore_ascii_case("text/plain")))
    }
}

/// Whether a client prefers JSON lines to a page.
pub struct JsonLines(pub bool);

impl JsonLines {
    pub const MEDIA_TYPE: &str = "application/x-ndjson";
}

impl<S: Sync> FromRequestParts<S> for JsonLines {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(first(&parts.headers).eq_ignore_ascii_case(Self::MEDIA_TYPE)))
    }
}
