//! `GET /openapi.json`: the `OpenAPI` document of the API, generated from the routes.

use super::{openapi_additions, routes, vault};
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use std::sync::LazyLock;

/// The document as JSON, as it is committed (`openapi/claviger.json`) and served.
///
/// # Errors
/// The document cannot be serialized, which does not occur.
pub fn text() -> Result<String, serde_json::Error> {
    let mut document = openapi_additions::complete(routes::documented().into_openapi());
    vault::openapi::add(&mut document);
    document.to_pretty_json().map(|json| json + "\n")
}

pub(super) async fn handle() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| text().unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}
