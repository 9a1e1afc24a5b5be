//! The extractors of the parameter in the path of a route. A route has at most one.

use http::Uri;
use utoipa::IntoParams;

/// The third segment of the raw path, not percent-decoded. Tokens and IDs need no encoding, so an encoded one is not found.
pub fn parameter(uri: &Uri) -> &str {
    uri.path().split('/').nth(3).unwrap_or_default()
}

/// The ID of a lease or ticket, not validated.
pub struct PathId(pub String);

extract!(PathId, |parts| Ok(Self(parameter(&parts.uri).to_owned())));

/// The name of a policy, not validated. Only its slash is sent percent-encoded.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PolicyName {
    /// The policy's name; `namespace/name` of a custom resource is one segment (`namespace%2Fname`)
    #[param(max_length = 317, pattern = "^[a-z0-9.-]+(/[a-z0-9.-]+)?$")]
    pub name: String,
}

extract!(PolicyName, |parts| {
    let raw = parameter(&parts.uri);
    let split = raw.split_once("%2F").or_else(|| raw.split_once("%2f"));
    let name = split.map_or_else(|| raw.to_owned(), |(namespace, name)| format!("{namespace}/{name}"));
    Ok(Self { name })
});
