//! The port to what a store makes on request, credentials that end: made, prolonged, and taken back by their handle.

use super::path::StorePath;
use super::port::ReadError;
use crate::model::lease::Lease;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::model::write::Write;
use async_trait::async_trait;
use std::time::Duration;

/// For how long something was granted, and whether that can be prolonged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// Never zero.
    pub(super) ttl: Duration,
    /// Whether the store would renew it.
    pub(super) renewable: bool,
}

/// What a store has made. `session` is the broker's session that it was made in: it may not outlive that.
pub(super) enum Made {
    /// It ends.
    Leased {
        /// Its keys and values.
        lease: Lease,
        /// What the store calls it. Whoever has it may take it back.
        handle: SecretValue,
        /// For how long.
        grant: Grant,
        /// See above.
        session: u64,
    },
    /// It has no end that the store would tell, nor a handle.
    Unleased(Lease),
    /// The store made something but does not say what, or until when. It is of no use, and is to be taken back.
    Unusable {
        /// What the store calls it.
        handle: SecretValue,
    },
}

/// A store that makes secrets on request. Nothing of it is kept for anybody else.
#[async_trait]
pub(super) trait DynamicStore: Send + Sync + 'static {
    /// Makes what stands at a path, by a read or by this write. Never asks the store twice, because each time makes something.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn make(&self, path: &StorePath, write: Option<&Write>, request: &RequestId) -> Result<Made, ReadError>;

    /// Prolongs a lease by so long, or as long as the store will.
    ///
    /// # Errors
    /// `Misconfigured` where there is no such lease, `Forbidden` where the broker may not.
    async fn renew(&self, handle: &SecretValue, by: Duration, request: &RequestId) -> Result<Grant, ReadError>;

    /// Takes a lease back. One that has ended is no error.
    ///
    /// # Errors
    /// When it is not known to be gone.
    async fn revoke(&self, handle: &SecretValue, request: &RequestId) -> Result<(), ReadError>;

    /// The broker's session now.
    fn session(&self) -> u64;
}
