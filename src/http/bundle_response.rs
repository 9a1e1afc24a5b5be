//! The response that carries a bundle: its format, its bytes, and the headers that secrets need.

use super::{accept_header, framing};
use crate::broker::{Delivered, Error};
use crate::model::format::Format;
use crate::sealing::digest::sha256;
use crate::wire::problem::Code;
use axum::body::{Body, Bytes};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};

// Constants, because a name that is given as text is parsed and allocated for each response.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const VERSIONS: HeaderName = HeaderName::from_static("x-claviger-versions");

/// Parses the name of a format.
pub fn parse_format(word: &str) -> Result<Format, Error> {
    const UNKNOWN_FORMAT_DETAIL: &str =
        "format must be one of export, dotenv, dotenv-expand, json, raw, tar, docker-config, npmrc, netrc";
    word.parse().map_err(|_| Error::InvalidRequest(UNKNOWN_FORMAT_DETAIL))
}

/// The format `json`, `tar` or `raw`, if its media type is the first in `Accept`. Otherwise the default format.
pub fn format_from_accept(headers: &HeaderMap) -> Format {
    let first = accept_header::first_media_type(headers);
    let selectable = [Format::Json, Format::Tar, Format::Raw];
    selectable.into_iter().find(|format| first.eq_ignore_ascii_case(format.media_type())).unwrap_or_default()
}

/// The extractor of the format that `Accept` asks for.
pub struct AcceptedFormat(pub Format);

extract!(AcceptedFormat, |parts| Ok(Self(format_from_accept(&parts.headers))));

/// The response that carries a bundle.
pub fn build(delivered: Delivered) -> Result<Response, Code> {
    let bytes = delivered.rendered.bytes;
    let repr_digest = format!("sha-256=:{}:", STANDARD.encode(sha256(&bytes)));
    let mut headers = framing::headers_with_length(bytes.len());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(delivered.rendered.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REPR_DIGEST, HeaderValue::from_str(&repr_digest).map_err(|_| Code::Internal)?);
    headers.insert(VERSIONS, HeaderValue::from_str(&delivered.versions).map_err(|_| Code::Internal)?);
    if delivered.stale {
        headers.insert("x-claviger-stale", HeaderValue::from_static("true"));
    }
    // `from_owner` does not copy, and the bytes are overwritten after sending. The buffers of hyper and of the
    // kernel are not overwritten.
    let mut response = Response::new(Body::from(Bytes::from_owner(bytes)));
    *response.headers_mut() = headers;
    Ok(response)
}
