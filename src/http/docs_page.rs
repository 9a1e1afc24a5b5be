//! `GET /docs`: a page that shows the `OpenAPI` document and can send requests. It loads no script, style or font from another
//! server.

use super::responses::ApiError;
use crate::sealing::digest::sha256;
use crate::wire::problem::Code;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use std::sync::LazyLock;

const PAGE: &str = include_str!("docs.html");

/// The Content-Security-Policy: only the script and style of the page run, and connect only to this server.
static SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag| format!("'sha256-{}'", STANDARD.encode(sha256(element_content(PAGE, tag).as_bytes())));
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
});

pub async fn handle() -> Result<impl IntoResponse, ApiError> {
    let policy = HeaderValue::from_str(&SECURITY_POLICY).map_err(|_| Code::Internal)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, PAGE))
}

/// The content of the only element with this tag name.
fn element_content<'a>(page: &'a str, tag: &str) -> &'a str {
    let inner = page.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    inner.map_or("", |(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_self_contained() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "one {tag}, without attributes");
            assert!(!element_content(PAGE, tag).is_empty());
        }
        for foreign in ["http://", "https://", "//cdn", "@import", "url(", "src=", "<link", " style=", " onclick="] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        for name in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!PAGE.contains(name), "{name}: the page must insert text only, never markup");
        }
    }
}
