//! A request to the Vault-compatible API.

use super::api::VaultApi;
use super::refusal::{self, Refusal};
use crate::broker::{Context, Session};
use crate::http::state::HttpState;
use crate::model::secret::SecretValue;

/// A request without its body.
pub struct VaultRequest<'a> {
    pub state: &'a HttpState,
    pub api: &'a VaultApi,
    pub context: Context,
    pub parts: &'a http::request::Parts,
}

impl VaultRequest<'_> {
    /// Refuses methods that are not in `allowed`, a list in the form of the header `Allow`. `None` allows all.
    pub fn require_method(&self, allowed: Option<&'static str>) -> Result<(), Refusal> {
        let is_allowed = |list: &str| list.split(", ").any(|method| method == self.parts.method.as_str());
        allowed.filter(|list| !is_allowed(list)).map_or(Ok(()), |list| Err(refusal::method_not_allowed(list)))
    }

    /// Authenticates the token, and counts the request against the rate limit of its caller.
    pub async fn authenticate(&self, bearer: Option<&SecretValue>) -> Result<Session, Refusal> {
        Ok(self.state.broker.session(bearer, &self.context).await?)
    }

    pub fn request_id(&self) -> String {
        self.context.request_id.to_string()
    }
}
