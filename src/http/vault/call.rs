//! A request to this API, as its handlers see it.

use super::refusal::{self, Refusal};
use crate::broker::{Context, Session};
use crate::http::Edge;
use crate::model::secret::SecretValue;
use http::Method;
use std::time::Duration;

/// The settings of the API.
#[derive(Debug, Clone)]
pub struct VaultApi {
    /// The path segment of the secret engine that clients see.
    pub mount: String,
    /// The upper bound of `lease_duration` in the answer to a login.
    pub max_token_ttl: Duration,
}

/// A request without its body.
pub struct Call<'a> {
    pub edge: &'a Edge,
    pub api: &'a VaultApi,
    pub context: Context,
    pub parts: &'a http::request::Parts,
}

impl Call<'_> {
    /// Refuses other methods than these.
    pub fn only(&self, allowed: &[Method], list: &'static str) -> Result<(), Refusal> {
        if allowed.contains(&self.parts.method) { Ok(()) } else { Err(refusal::method_not_allowed(list)) }
    }

    /// Has the token reviewed, and charges its bearer.
    pub async fn session(&self, bearer: Option<&SecretValue>) -> Result<Session, Refusal> {
        Ok(self.edge.broker.session(bearer, &self.context).await?)
    }

    pub fn request_id(&self) -> String {
        self.context.request_id.to_string()
    }
}
