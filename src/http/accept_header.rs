//! Parses the `Accept` header. Only the media type that it lists first is considered.

use http::HeaderMap;
use http::header::ACCEPT;

/// The first media type, without parameters. Empty if the header is missing.
pub fn first_media_type(headers: &HeaderMap) -> &str {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split([',', ';']).next().unwrap_or_default().trim()
}

/// Whether the client asks for plain text instead of JSON.
pub struct PlainText(pub bool);

extract!(PlainText, |parts| Ok(Self(first_media_type(&parts.headers).eq_ignore_ascii_case("text/plain"))));

/// Whether the client asks for JSON lines instead of a page.
pub struct JsonLines(pub bool);

impl JsonLines {
    pub const MEDIA_TYPE: &str = "application/x-ndjson";
}

extract!(JsonLines, |parts| Ok(Self(first_media_type(&parts.headers).eq_ignore_ascii_case(Self::MEDIA_TYPE))));
