//! All engines except key-value engines: `GET /v1/<path>`, or a write there, creates a secret, and `sys/leases`
//! renews and revokes it.

use super::VaultStore;
use super::call::CallOptions;
use super::endpoints::OwnEndpoint;
use super::exchange::VaultError;
use super::lease_responses;
use super::mounts::{Engine, Mount, Mounts};
use super::session::VaultSession;
use super::token::{Token, TokenExpiry};
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::model::write_body::WriteBody;
use crate::stores::breaker::BreakerTarget;
use crate::stores::dynamic::{Created, DynamicStore, Lifetime};
use crate::stores::outbound::StoreResponse;
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
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
        request: &RequestId,
    ) -> Result<(Created, u64), ReadError> {
        let found = self.mounts.find(path).map(|(mount, _)| mount).filter(|mount| mount.engine == Engine::Dynamic);
        let mount = found.ok_or(ReadError::Unavailable)?;
        let below = mount.below(path).ok_or(ReadError::Misconfigured)?;
        // The database engine, the AWS engine and others have their credentials at this path.
        let response = if let (None, Some(role)) = (write, below.strip_prefix("creds/")) {
            let endpoint = || GenerateCredentialsRequest { mount: mount.name(), name: role.to_owned() };
            self.create(&mount, path, false, endpoint, request).await
        } else {
            let endpoint = || OwnEndpoint::CreateSecret { path: path.as_str(), json: write.map(WriteBody::as_json) };
            self.create(&mount, path, write.is_some(), endpoint, request).await
        };
        if let Err(VaultError { is_lost: true, .. }) = response {
            tracing::warn!(
                store = %self.exchange.store,
                request_id = %request,
                "a dynamic secret may exist without an answer; it expires at the store"
            );
        }
        let error = response.as_ref().err().map(|failed| failed.error);
        if matches!(error, Some(ReadError::Absent | ReadError::Misconfigured | ReadError::Unsuitable(_))) {
            // The mount may have been replaced since.
            self.mounts.forget(&mount);
        }
        let (mut created, token) = response.map_err(|failed| failed.error)?;
        if let Created::Leased { grant, .. } = &mut created {
            *grant = limited_by_token(*grant, &token);
        }
        Ok((created, token.session()))
    }

    async fn renew(&self, lease_id: &SecretValue, by: Duration, request: &RequestId) -> Result<Lifetime, ReadError> {
        let origin = LeaseOrigin::from_lease_id(lease_id, &self.mounts);
        let options = CallOptions::calling_backend(StoreOperation::Renew, origin.target());
        let endpoint = || OwnEndpoint::RenewLease { lease_id, increment: by };
        let response = self.session.call(options, endpoint, request, lease_responses::parse_renewed).await;
        response.map(|(grant, _)| grant).map_err(|failed| failed.error)
    }

    async fn revoke(&self, lease_id: &SecretValue, request: &RequestId) -> Result<(), ReadError> {
        revoke(&self.session, &self.mounts, lease_id, request).await
    }

    fn session(&self) -> u64 {
        self.session.number()
    }
}

impl VaultStore {
    async fn create<E: Endpoint>(
        &self,
        mount: &Mount,
        path: &StorePath,
        is_write: bool,
        endpoint: impl Fn() -> E,
        request: &RequestId,
    ) -> Result<(Created, Arc<Token>), VaultError> {
        let target = BreakerTarget { mount: &mount.path, path: Some(path.as_str()), secret: Some(path.as_str()) };
        let options = CallOptions { creates_lease: true, ..CallOptions::calling_backend(StoreOperation::Read, target) };
        self.session
            .call(options, endpoint, request, |response: &StoreResponse| {
                lease_responses::parse_created(response, is_write)
            })
            .await
    }

    /// Revokes a lease whose secret no caller gets.
    pub(super) fn revoke_in_background(&self, lease_id: SecretValue, request: &RequestId) {
        tracing::warn!(store = %self.exchange.store, "a key-value mount returned a lease; revoking it");
        let (session, mounts, request) = (self.session.clone(), self.mounts.clone(), request.clone());
        // A failure is logged; the lease then ends by itself.
        tokio::spawn(async move { revoke(&session, &mounts, &lease_id, &request).await });
    }
}

async fn revoke(
    session: &VaultSession,
    mounts: &Mounts,
    lease_id: &SecretValue,
    request: &RequestId,
) -> Result<(), ReadError> {
    let origin = LeaseOrigin::from_lease_id(lease_id, mounts);
    let options = CallOptions::calling_backend(StoreOperation::Revoke, origin.target());
    let response =
        session.call(options, || OwnEndpoint::RevokeLease { lease_id }, request, lease_responses::parse_revoked).await;
    response.map(|_| ()).map_err(|failed| failed.error)
}

/// The mount and the path of a lease, for which failures of its renewal and revocation count.
struct LeaseOrigin {
    mount: Arc<str>,
    path: String,
}

impl LeaseOrigin {
    /// A lease ID is the path that was read, plus a random last segment.
    #[expect(clippy::disallowed_methods, reason = "what is kept of it is the path that the policy names")]
    fn from_lease_id(lease_id: &SecretValue, mounts: &Mounts) -> Self {
        let text = lease_id.expose_secret();
        let path = text.rsplit_once('/').map_or(text, |(path, _)| path);
        let first = || path.split('/').next().map(|first| format!("{first}/").into());
        let mount = mounts.find_by_prefix(text).map(|(mount, _)| mount.path).or_else(first);
        Self { mount: mount.unwrap_or_default(), path: path.to_owned() }
    }

    fn target(&self) -> BreakerTarget<'_> {
        BreakerTarget { mount: &self.mount, path: Some(&self.path), secret: Some(&self.path) }
    }
}

/// A secret created with a token of its own ends with that token, which is not renewed.
fn limited_by_token(grant: Lifetime, token: &Token) -> Lifetime {
    match token.lifetime {
        TokenExpiry::Until { end, .. } if token.uses.is_some() => {
            let left = end.saturating_duration_since(Instant::now());
            // Never zero. A secret with less than a second left is not issued.
            Lifetime { ttl: grant.ttl.min(left.max(Duration::from_millis(1))), renewable: false }
        }
        _ => grant,
    }
}
