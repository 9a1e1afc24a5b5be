//! References to a secret, and to a version of a secret.

use std::sync::Arc;

/// The location of a secret: a store and a path, as in `vault kv get` (`homelab/site/main`, without KV v2's `data/`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretRef {
    /// The configured name of the store.
    pub store: Arc<str>,
    /// The path, with all placeholders replaced.
    pub path: String,
}

/// The location of a secret, and the version that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVersion {
    /// The location.
    pub secret: SecretRef,
    /// The version, if the store has versions.
    pub version: Option<String>,
}
