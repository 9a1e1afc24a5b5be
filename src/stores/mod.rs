//! 4. Fetch: a secret ref becomes a lease, read from its store or from the cache.

use crate::model::lease::Lease;
use crate::model::request_id::RequestId;
use async_trait::async_trait;

/// A secret backend.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Reads the secret at a path as a human writes it.
    ///
    /// # Errors
    /// See [`ReadError`]: absent, forbidden and broken are never mixed up.
    async fn read(&self, path: &str, request: &RequestId) -> Result<Lease, ReadError>;
}

/// Why a store gave no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReadError {
    /// There is no such secret; the only answer that may become an empty bundle.
    #[error("no such secret")]
    Absent,
    /// There was one; it is deleted or destroyed. To the caller as absent.
    #[error("the secret is deleted")]
    Deleted,
    /// There is no such mount, or the path does not fit its engine.
    #[error("the path leads to no secret engine")]
    Misconfigured,
    /// The broker's own token may not read it.
    #[error("the store forbids the broker to read it")]
    Forbidden,
    /// No usable answer: unreachable, sealed, overloaded, or nonsense.
    #[error("the store gave no usable answer")]
    Unavailable,
}
