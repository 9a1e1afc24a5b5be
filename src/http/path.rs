//! The one parameter in the path of a route, as an extractor.

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use std::convert::Infallible;
use utoipa::IntoParams;

/// The third segment of the raw path. Names and IDs need no percent-encoding, so an encoded one is unknown.
pub fn parameter(uri: &Uri) -> &str {
    uri.path().split('/').nth(3).unwrap_or_default()
}

/// A lease's or ticket's id, not checked.
pub struct Id(pub String);

impl<S: Sync> FromRequestParts<S> for Id {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parameter(&parts.uri).to_owned()))
    }
}

/// A policy's name, not checked. A slash is sent percent-encoded, and no other character is.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PolicyName {
    /// The policy's name; `namespace/name` of a custom resource is one segment (`namespace%2Fname`)
    #[param(max_length = 317, pattern = "^[a-z0-9.-]+(/[a-z0-9.-]+)?$")]
    pub name: String,
}

impl<S: Sync> FromRequestParts<S> for PolicyName {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let sent = parameter(&parts.uri);
        let split = sent.split_once("%2F").or_else(|| sent.split_once("%2f"));
        let name = split.map_or_else(|| sent.to_owned(), |(namespace, name)| format!("{namespace}/{name}"));
        Ok(Self { name })
    }
}
