//! Dynamic secrets, of all engines except key-value engines: a read of their path or a write to it creates a secret, and
//! `sys/leases` renews and revokes it.

use super::VaultStore;
use super::call::CallOptions;
use super::endpoints::VaultEndpoint;
use super::lease_responses;
use super::mounts::{Engine, Mount, Mounts};
use super::session::VaultSession;
use super::token::{Token, TokenExpiry};
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::model::write_body::WriteBody;
use crate::stores::breaker::BreakerTarget;
use crate::stores::dynamic_store::{CreatedSecret, DynamicStore, GrantedLifetime};
use crate::stores::outbound::StoreResponse;
use crate::stores::port::ReadError;
use crate::stores::server_calls::CallError;
use crate::stores::store_path::StorePath;
use async_trait::async_trait;
use rustify::endpoint::Endpoint;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use vaultrs::api::database::requests::GenerateCredentialsRequest;

#[async_trait]
impl DynamicStore for VaultStore {
    async fn create(
        &self,
        path: &StorePath,
        write: Option<&WriteBody>,
        request_id: &RequestId,
    ) -> Result<(CreatedSecret, u64), ReadError> {
        // Usually cached by the look-up that found the secret to be dynamic, but the cache may be full, or was cleared meanwhile.
        let mount = self.mount(path, request_id).await?;
        if mount.engine != Engine::Dynamic {
            return Err(ReadError::Unavailable);
        }
        let below = mount.relative_path(path).ok_or(ReadError::Misconfigured)?;
        // The credentials path of the database engine, the AWS engine and others.
        let response = if let (None, Some(role)) = (write, below.strip_prefix("creds/")) {
            let endpoint = || GenerateCredentialsRequest { mount: mount.name(), name: role.to_owned() };
            self.create(&mount, path, false, endpoint, request_id).await
        } else {
            let endpoint = || VaultEndpoint::CreateSecret { path: path.as_str(), json: write.map(WriteBody::as_json) };
            self.create(&mount, path, write.is_some(), endpoint, request_id).await
        };
        if let Err(CallError { may_have_taken_effect: true, .. }) = response {
            tracing::warn!(
                store = %self.server.calls.store,
                %request_id,
                "a dynamic secret may exist without an answer; it expires at the store"
            );
        }
        let error = response.as_ref().err().map(|failed| failed.error);
        if matches!(error, Some(ReadError::Absent | ReadError::Misconfigured | ReadError::EngineMismatch(_))) {
            // The mount may have been replaced since its look-up.
            self.mounts.remove(&mount);
        }
        let (mut created, token) = response.map_err(|failed| failed.error)?;
        if let CreatedSecret::Leased { grant, .. } = &mut created {
            *grant = limit_to_token(*grant, &token);
        }
        Ok((created, token.lease_login_number()))
    }

    async fn renew(
        &self,
        lease_id: &SecretValue,
        by: Duration,
        request_id: &RequestId,
    ) -> Result<GrantedLifetime, ReadError> {
        let origin = LeaseOrigin::from_lease_id(lease_id, &self.mounts);
        let options = CallOptions::calling_backend(StoreOperation::Renew, origin.target());
        let endpoint = || VaultEndpoint::RenewLease { lease_id, increment: by };
        let response = self.session.call(options, endpoint, request_id, lease_responses::parse_renewed).await;
        response.map(|(grant, _)| grant).map_err(|failed| failed.error)
    }

    async fn revoke(&self, lease_id: &SecretValue, request_id: &RequestId) -> Result<(), ReadError> {
        revoke(&self.session, &self.mounts, lease_id, request_id).await
    }

    fn login_number(&self) -> u64 {
        self.session.lease_login_number()
    }
}

impl VaultStore {
    async fn create<E: Endpoint>(
        &self,
        mount: &Mount,
        path: &StorePath,
        is_write: bool,
        endpoint: impl Fn() -> E,
        request_id: &RequestId,
    ) -> Result<(CreatedSecret, Arc<Token>), CallError> {
        let target =
            BreakerTarget { mount: &mount.path, creation_path: Some(path.as_str()), secret_path: Some(path.as_str()) };
        let options = CallOptions { creates_lease: true, ..CallOptions::calling_backend(StoreOperation::Read, target) };
        self.session
            .call(options, endpoint, request_id, |response: &StoreResponse| {
                lease_responses::parse_created(response, is_write)
            })
            .await
    }

    /// Revokes a lease whose secret no caller gets.
    pub(super) fn revoke_in_background(&self, lease_id: SecretValue, request_id: &RequestId) {
        tracing::warn!(store = %self.server.calls.store, "a key-value mount returned a lease; revoking it");
        let (session, mounts, request_id) = (self.session.clone(), self.mounts.clone(), request_id.clone());
        // A failure is logged. The lease then ends when it expires.
        tokio::spawn(async move { revoke(&session, &mounts, &lease_id, &request_id).await });
    }
}

async fn revoke(
    session: &VaultSession,
    mounts: &Mounts,
    lease_id: &SecretValue,
    request_id: &RequestId,
) -> Result<(), ReadError> {
    let origin = LeaseOrigin::from_lease_id(lease_id, mounts);
    let options = CallOptions::calling_backend(StoreOperation::Revoke, origin.target());
    let response = session
        .call(options, || VaultEndpoint::RevokeLease { lease_id }, request_id, lease_responses::parse_revoked)
        .await;
    response.map(|_| ()).map_err(|failed| failed.error)
}

/// The mount and the path of a lease. Failures of its renewal and revocation count for their breakers.
struct LeaseOrigin {
    mount: Arc<str>,
    path: String,
}

impl LeaseOrigin {
    /// Parses a lease ID: the path that was read, and a random last segment.
    #[expect(clippy::disallowed_methods, reason = "only the path is kept, which the policy contains")]
    fn from_lease_id(lease_id: &SecretValue, mounts: &Mounts) -> Self {
        let text = lease_id.expose_secret();
        let path = text.rsplit_once('/').map_or(text, |(path, _)| path);
        let first = || path.split('/').next().map(|first| format!("{first}/").into());
        let mount = mounts.find_by_prefix(text).map(|(mount, _)| mount.path).or_else(first);
        Self { mount: mount.unwrap_or_default(), path: path.to_owned() }
    }

    fn target(&self) -> BreakerTarget<'_> {
        BreakerTarget { mount: &self.mount, creation_path: Some(&self.path), secret_path: Some(&self.path) }
    }
}

/// Limits the lifetime of a secret that was created with an exclusive token to that of the token, which is not renewed.
fn limit_to_token(grant: GrantedLifetime, token: &Token) -> GrantedLifetime {
    match token.expiry {
        TokenExpiry::Until { end, .. } if token.uses.is_some() => {
            let remaining = end.saturating_duration_since(Instant::now());
            // Never zero. A secret with less than a second is not issued anyway.
            GrantedLifetime { ttl: grant.ttl.min(remaining.max(Duration::from_millis(1))), renewable: false }
        }
        _ => grant,
    }
}
