//! Where a secret stands.

use std::sync::Arc;

/// A secret's place: a store and a path as a human writes it (`homelab/site/main`, without KV v2's `data/`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretRef {
    /// The configured name of the store.
    pub store: Arc<str>,
    /// The path, every placeholder filled in.
    pub path: String,
}

/// A secret's place and which version of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVersion {
    /// Where.
    pub secret: SecretRef,
    /// Which, where the store counts.
    pub version: Option<String>,
}
