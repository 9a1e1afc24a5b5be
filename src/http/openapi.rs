//! `GET /openapi.json`: the `OpenAPI` document of the API (the contract), generated from the routes.

use super::{contract, routes, vault};
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use std::sync::LazyLock;

/// The contract as JSON, as it is committed (`openapi/claviger.json`) and served.
///
/// # Errors
/// When the document cannot be serialized, a programming error.
pub fn text() -> Result<String, serde_json::Error> {
    let mut document = contract::complete(routes::documented().into_openapi());
    vault::openapi::add(&mut document);
    document.to_pretty_json().map(|json| json + "\n")
}

pub(super) async fn handle() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| text().unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}
