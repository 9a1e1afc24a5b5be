//! The extractor of `limit` and `continue`, the query parameters of a list.

use super::query::{invalid, parameters};
use super::responses::ApiError;
use super::state::HttpState;
use crate::broker::Page;
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use http::request::Parts;
use std::str::FromStr;
use utoipa::IntoParams;

pub const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// The parameters in the `OpenAPI` document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Page` parses")]
pub struct Paging {
    /// Maximum number of items (default 100)
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Continuation token from the previous page
    r#continue: Option<String>,
}

impl<T: FromStr> FromRequestParts<HttpState> for Page<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, ApiError> {
        parse_page(&parts.uri)
    }
}

fn parse_page<T: FromStr>(uri: &Uri) -> Result<Page<T>, ApiError> {
    let [limit, after] = parameters(uri, ["limit", "continue"])?;
    Ok(Page {
        after: after.map(parse_cursor).transpose()?,
        limit: limit.map(parse_limit).transpose()?.unwrap_or(DEFAULT_LIMIT),
    })
}

/// Encodes a continuation token (base64url), so that no client depends on its contents.
pub fn encode_token(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(after)
}

/// Parses a continuation token.
pub fn parse_cursor<T: FromStr>(text: &str) -> Result<T, ApiError> {
    let after = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    after.and_then(|after| after.parse().ok()).ok_or_else(|| invalid("continue is not a token of this list"))
}

/// Parses the maximum number of items.
pub fn parse_limit(text: &str) -> Result<usize, ApiError> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| is_plain && (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| invalid("limit must be a number from 1 to 1000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: FromStr>(query: &str) -> Option<Page<T>> {
        parse_page(&format!("/?{query}").parse().expect("a target")).ok()
    }

    #[test]
    fn a_page_is_parsed_and_invalid_parameters_are_refused() {
        let page = |query: &str| parse::<String>(query).map(|page| (page.after, page.limit));
        assert_eq!(page(""), Some((None, 100)));
        assert_eq!(page("limit=1"), Some((None, 1)));
        let next = format!("limit=1000&continue={}", encode_token("a.b"));
        assert_eq!(page(&next), Some((Some("a.b".into()), 1000)));
        for query in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=",
            "limit",
            "limit=18446744073709551617",
            "limit=1&limit=1",
            "continue=%2e",
            "continue=a.b",
            "continue=_w",
            "Limit=1",
            "x=1",
        ] {
            assert_eq!(page(query), None, "{query}");
        }
        assert!(parse::<i64>(&format!("continue={}", encode_token("7"))).is_some());
        assert!(parse::<i64>(&format!("continue={}", encode_token("a"))).is_none());
    }
}
