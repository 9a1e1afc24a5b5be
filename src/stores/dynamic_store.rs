//! The port to stores that create dynamic secrets. A secret with a lease is renewed and revoked by its lease ID.

use super::port::ReadError;
use super::store_path::StorePath;
use crate::model::request_id::RequestId;
use crate::model::secret::{Secret, SecretValue};
use crate::model::write_body::WriteBody;
use async_trait::async_trait;
use std::time::Duration;

/// The lifetime that a store granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GrantedLifetime {
    /// The lifetime, never zero.
    pub(super) ttl: Duration,
    /// Whether the store would renew it.
    pub(super) renewable: bool,
}

/// A secret that a store created.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CreatedSecret {
    /// With a lease.
    Leased {
        /// The keys and values.
        secret: Secret,
        /// The lease ID. It is secret, because the lease can be revoked with it.
        lease_id: SecretValue,
        grant: GrantedLifetime,
    },
    /// Without a lease: the store sets no end.
    Unleased(Secret),
    /// With a lease, but without valid values or a valid lifetime. It must be revoked.
    Unusable { lease_id: SecretValue },
}

/// A store that creates a secret for each request.
#[async_trait]
pub(super) trait DynamicStore: Send + Sync + 'static {
    /// Creates the secret of a path, by a read or by this write. The call is never retried, because each call creates a secret.
    /// Also returns the number of the broker's login under which the lease was created. The lease ends with the token of this
    /// login.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn create(
        &self,
        path: &StorePath,
        write: Option<&WriteBody>,
        request_id: &RequestId,
    ) -> Result<(CreatedSecret, u64), ReadError>;

    /// Extends a lease by this time, or by as much as the store allows.
    ///
    /// # Errors
    /// `Misconfigured` if the lease does not exist, `Forbidden` if the broker is not allowed to renew it.
    async fn renew(
        &self,
        lease_id: &SecretValue,
        by: Duration,
        request_id: &RequestId,
    ) -> Result<GrantedLifetime, ReadError>;

    /// Revokes a lease. An expired lease is not an error.
    ///
    /// # Errors
    /// The store has not confirmed the revocation.
    async fn revoke(&self, lease_id: &SecretValue, request_id: &RequestId) -> Result<(), ReadError>;

    /// The number of the broker's last login, see [`Self::create`].
    fn login_number(&self) -> u64;
}
