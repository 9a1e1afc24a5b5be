//! A request to this API.

use super::api::VaultApi;
use super::refusal::{self, Refusal};
use crate::broker::{Context, Session};
use crate::http::edge::Edge;
use crate::model::secret::SecretValue;
use http::Method;

/// A request without its body.
pub struct Call<'a> {
    pub edge: &'a Edge,
    pub api: &'a VaultApi,
    pub context: Context,
    pub parts: &'a http::request::Parts,
}

impl Call<'_> {
    /// Refuses methods other than these.
    pub fn only(&self, allowed: &[Method], list: &'static str) -> Result<(), Refusal> {
        if allowed.contains(&self.parts.method) { Ok(()) } else { Err(refusal::method_not_allowed(list)) }
    }

    /// Reviews the token, and charges its caller.
    pub async fn session(&self, bearer: Option<&SecretValue>) -> Result<Session, Refusal> {
        Ok(self.edge.broker.session(bearer, &self.context).await?)
    }

    pub fn request_id(&self) -> String {
        self.context.request_id.to_string()
    }
}
