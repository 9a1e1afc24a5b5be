//! The settings of the Vault-compatible API.

use std::time::Duration;

/// The settings of the Vault-compatible API.
#[derive(Debug, Clone)]
pub struct VaultApi {
    /// The path segment under which clients find the secret engine.
    pub mount: String,
    /// The maximum of `lease_duration` in the response to a login.
    pub max_token_ttl: Duration,
}
