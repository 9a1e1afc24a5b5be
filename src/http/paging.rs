//! `limit` and `continue` of a list, as an extractor.

use super::answer::Failure;
use super::edge::Edge;
use super::query::{invalid, parameters};
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

/// The parameters as the contract has them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Page` reads")]
pub struct Paging {
    /// Maximum number of items (default 100)
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Continuation token from the previous page
    r#continue: Option<String>,
}

impl<T: FromStr> FromRequestParts<Edge> for Page<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        page(&parts.uri)
    }
}

fn page<T: FromStr>(uri: &Uri) -> Result<Page<T>, Failure> {
    let [size, after] = parameters(uri, ["limit", "continue"])?;
    Ok(Page { after: after.map(cursor).transpose()?, limit: size.map(limit).transpose()?.unwrap_or(DEFAULT_LIMIT) })
}

/// A continuation token: opaque, so that no client depends on its contents.
pub fn encode(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(after)
}

/// Reads a continuation token.
pub fn cursor<T: FromStr>(text: &str) -> Result<T, Failure> {
    let after = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    after.and_then(|after| after.parse().ok()).ok_or_else(|| invalid("continue is not a token of this list"))
}

/// Reads the maximum number of items.
pub fn limit(text: &str) -> Result<usize, Failure> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| plain && (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| invalid("limit must be a number from 1 to 1000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: FromStr>(query: &str) -> Option<Page<T>> {
        page(&format!("/?{query}").parse().expect("a target")).ok()
    }

    #[test]
    fn a_page_is_read_and_everything_else_refused() {
        let asked = |query: &str| read::<String>(query).map(|page| (page.after, page.limit));
        assert_eq!(asked(""), Some((None, 100)));
        assert_eq!(asked("limit=1"), Some((None, 1)));
        let next = format!("limit=1000&continue={}", encode("a.b"));
        assert_eq!(asked(&next), Some((Some("a.b".into()), 1000)));
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
            assert_eq!(asked(query), None, "{query}");
        }
        assert!(read::<i64>(&format!("continue={}", encode("7"))).is_some());
        assert!(read::<i64>(&format!("continue={}", encode("a"))).is_none());
    }
}
