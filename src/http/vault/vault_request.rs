//! A request to the Vault-compatible API.

use super::api::VaultApi;
use super::refusal::{self, Refusal};
use crate::broker::{Context, Session};
use crate::http::edge::Edge;
use crate::model::secret::SecretValue;
use http::Method;

/// A request without its body.
pub struct VaultRequest<'a> {
    pub edge: &'a Edge,
    pub api: &'a VaultApi,
    pub context: Context,
    pub parts: &'a http::request::Parts,
}

impl VaultRequest<'_> {
    /// Refuses methods other than `allowed`. `allow` is the same list as the value of the header `Allow`.
    pub fn require_method(&self, allowed: &[Method], allow: &'static str) -> Result<(), Refusal> {
        if allowed.contains(&self.parts.method) { Ok(()) } else { Err(refusal::method_not_allowed(allow)) }
    }

    /// Authenticates the token, and charges the request to the rate limit of its caller.
    pub async fn authenticate(&self, bearer: Option<&SecretValue>) -> Result<Session, Refusal> {
        Ok(self.edge.broker.session(bearer, &self.context).await?)
    }

    pub fn request_id(&self) -> String {
        self.context.request_id.to_string()
    }
}
