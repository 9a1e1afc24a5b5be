//! The settings of the Vault-compatible API.

use std::time::Duration;

/// The settings of the API.
#[derive(Debug, Clone)]
pub struct VaultApi {
    /// The path segment of the secret engine that clients see.
    pub mount: String,
    /// The upper bound of `lease_duration` in the answer to a login.
    pub max_token_ttl: Duration,
}
