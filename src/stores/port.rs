//! The interface of a store for reads, and its errors.

use super::store_path::StorePath;
use crate::metrics::labels::StoreOutcome;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::trust::{ConnectFailure, TrustError};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::time::Instant;

/// A store of secrets. It accepts only checked paths, so no path leads to a system mount.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// Whether the store creates a secret for each reader of this path. Such secrets are not cached, and whether readers share
    /// one depends on the lease mode.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn is_dynamic(&self, _path: &StorePath, _request_id: &RequestId) -> Result<bool, ReadError> {
        Ok(false)
    }

    /// Reads the secret at a path.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read(&self, path: &StorePath, request_id: &RequestId) -> Result<Arc<Secret>, ReadError>;
}

/// A secret and its end.
#[derive(Debug, Clone)]
pub struct FetchedSecret {
    /// The keys and values.
    pub secret: Arc<Secret>,
    /// When the secret expires. `None` for a static secret, which has no end.
    pub expires_at: Option<Instant>,
}

/// Why a read returned no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReadError {
    /// The secret does not exist. Only this error may become an empty bundle.
    #[error("no such secret")]
    Absent,
    /// The secret is deleted or destroyed. Callers see this as absent.
    #[error("the secret is deleted")]
    Deleted,
    /// The mount does not exist, or the path does not fit its engine.
    #[error("the path leads to no secret engine")]
    Misconfigured,
    /// The policy does not fit the engine of the path.
    #[error(transparent)]
    EngineMismatch(#[from] EngineMismatch),
    /// The broker's own token is not allowed to read the path.
    #[error("the store forbids the broker to read it")]
    Forbidden,
    /// No usable response: unreachable, sealed, overloaded, or malformed.
    #[error("the store gave no usable answer")]
    Unavailable,
}

impl ReadError {
    /// The metric label.
    #[must_use]
    pub const fn outcome(self) -> StoreOutcome {
        match self {
            Self::Absent => StoreOutcome::Absent,
            Self::Deleted => StoreOutcome::Deleted,
            Self::Misconfigured | Self::EngineMismatch(_) => StoreOutcome::Misconfigured,
            Self::Forbidden => StoreOutcome::Forbidden,
            Self::Unavailable => StoreOutcome::Unavailable,
        }
    }
}

/// The metric label of a result.
pub(super) const fn outcome_label<T>(result: &Result<T, ReadError>) -> StoreOutcome {
    match result {
        Ok(_) => StoreOutcome::Ok,
        Err(error) => error.outcome(),
    }
}

/// Why the secret of a policy does not fit the engine of its path. The API code is always `store_misconfigured`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EngineMismatch {
    /// The engine supports only writes.
    #[error(
        "the path's engine does not answer a read: it wants a write, which the policy's secret has to name (write: {{...}})"
    )]
    WriteRequired,
    /// The engine does not support writes.
    #[error("the path's engine does not answer a write: the policy's secret must not name one")]
    WriteUnsupported,
    /// The secret is static; a write would replace it.
    #[error(
        "the store keeps the secret at this path: a write would replace it, and the policy's secret must not name one"
    )]
    StaticEngine,
    /// The response is not JSON.
    #[error("the path's answer is not JSON, and so it has no keys and values")]
    NotJson,
}

/// An invalid store configuration, or an unusable file that it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address is invalid.
    #[error("the address is not an http or https URL")]
    Address,
    /// The namespace is not a valid header value.
    #[error("the namespace does not fit into a header")]
    Namespace,
    /// The auth mount is not a valid part of a URL.
    #[error("the auth mount is not a path of plain segments")]
    AuthMount,
    /// The TLS settings are unusable.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The proxy URL is invalid.
    #[error("the proxyUrl is not an http or https URL")]
    Proxy,
    /// This binary was built without this kind of store.
    #[error("this build of claviger was made without its feature {0}")]
    NotBuilt(&'static str),
    /// No key can be generated.
    #[error("the operating system gives no random bytes")]
    Randomness,
    /// The file is unreadable.
    #[error("the file cannot be read, or is not UTF-8")]
    Unreadable,
    /// The file is too large.
    #[error("the file has more than {0} bytes")]
    TooLarge(usize),
    /// The file is neither YAML nor JSON.
    #[error("the file is not one well-formed document (line {line}, column {column})")]
    Malformed {
        /// The line, from 1; 0 if unknown.
        line: u64,
        /// The column, from 1; 0 if unknown.
        column: u64,
    },
    /// The file does not have the form `{path: {KEY: value}}`. With the JSON pointer of the place, which contains only paths
    /// and keys.
    #[error("the file must map paths to keys and values, and does not at \"{0}\"")]
    Shape(String),
    /// An unquoted YAML scalar is not a string. With the JSON pointer of its place.
    #[error("the value at \"{0}\" must be put in quotes: without them YAML takes it for a number, a boolean or null")]
    Unquoted(String),
}

/// Why the online check of a store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OnlineError {
    /// No TCP or TLS connection.
    #[error("{}", .0.sentence())]
    Unconnected(ConnectFailure),
    /// No response in time.
    #[error("it gave no answer in time")]
    TimedOut,
    /// The response is not that of a store.
    #[error("it gave no usable answer")]
    Unavailable,
    /// The store is not initialised.
    #[error("it is not initialised")]
    Uninitialised,
    /// The store is sealed.
    #[error("it is sealed")]
    Sealed,
    /// The store refuses the broker's credentials.
    #[error("it refuses the broker's credentials")]
    Refused,
    /// The auth mount, role or namespace does not exist.
    #[error("the auth mount, role or namespace does not exist, or is not valid for these credentials")]
    Misconfigured,
}

impl OnlineError {
    /// For a failed login, or a failed look-up of a missing secret.
    pub(super) const fn from_login_error(error: ReadError) -> Self {
        match error {
            ReadError::Forbidden => Self::Refused,
            ReadError::Misconfigured | ReadError::EngineMismatch(_) => Self::Misconfigured,
            ReadError::Absent | ReadError::Deleted | ReadError::Unavailable => Self::Unavailable,
        }
    }
}
