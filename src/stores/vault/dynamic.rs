//! All engines except key-value engines: `GET /v1/<path>`, or a write there, creates a secret, and `sys/leases`
//! renews and revokes it.

use super::VaultStore;
use super::call::CallOptions;
use super::endpoints::{CreateSecret, ReadSecret, RenewLease, RevokeLease};
use super::exchange::CallFailure;
use super::leased;
use super::mounts::{Engine, Mount, Mounts};
use super::session::Session;
use super::token::{Token, TokenLifetime};
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::model::write_body::WriteBody;
use crate::stores::breaker::Target;
use crate::stores::dynamic::{Created, DynamicStore, Grant};
use crate::stores::outbound::Answer;
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
    ) -> Result<Created, ReadError> {
        let found = self.mounts.find(path).map(|(mount, _)| mount).filter(|mount| mount.engine == Engine::Dynamic);
        let mount = found.ok_or(ReadError::Unavailable)?;
        let below = mount.below(path).ok_or(ReadError::Misconfigured)?;
        let answer = match (write, below.strip_prefix("creds/")) {
            (Some(write), _) => {
                let endpoint = || CreateSecret { path: path.as_str(), json: write.as_json() };
                self.create(&mount, path, true, endpoint, request).await
            }
            // The database engine, the AWS engine and others have their credentials at this path.
            (None, Some(role)) => {
                let endpoint = || GenerateCredentialsRequest { mount: mount.name(), name: role.to_owned() };
                self.create(&mount, path, false, endpoint, request).await
            }
            (None, None) => self.create(&mount, path, false, || ReadSecret { path: path.as_str() }, request).await,
        };
        if let Err(CallFailure { is_lost: true, .. }) = answer {
            tracing::warn!(
                store = %self.exchange.store,
                request_id = %request,
                "a dynamic secret may exist without an answer; it expires at the store"
            );
        }
        let error = answer.as_ref().err().map(|failed| failed.error);
        if matches!(error, Some(ReadError::Absent | ReadError::Misconfigured | ReadError::Unsuitable(_))) {
            // The mount may have been replaced since.
            self.mounts.forget(&mount);
        }
        let (made, token) = answer.map_err(|failed| failed.error)?;
        Ok(match made {
            leased::Created::Leased(secret, handle, grant) => {
                Created::Leased { secret, handle, grant: within(grant, &token), session: token.session() }
            }
            leased::Created::Unleased(secret) => Created::Unleased(secret),
            leased::Created::Unusable(handle) => Created::Unusable { handle },
        })
    }

    async fn renew(&self, handle: &SecretValue, by: Duration, request: &RequestId) -> Result<Grant, ReadError> {
        let origin = Origin::of(handle, &self.mounts);
        let options = CallOptions::slow(StoreOperation::Renew, origin.target());
        let endpoint = || RenewLease { handle, increment: by };
        let answer = self.session.ask(options, endpoint, request, leased::renewed).await;
        answer.map(|(grant, _)| grant).map_err(|failed| failed.error)
    }

    async fn revoke(&self, handle: &SecretValue, request: &RequestId) -> Result<(), ReadError> {
        revoke(&self.session, &self.mounts, handle, request).await
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
    ) -> Result<(leased::Created, Arc<Token>), CallFailure> {
        let target = Target { mount: &mount.path, path: Some(path.as_str()), asked: Some(path.as_str()) };
        let options = CallOptions { binds_token: true, ..CallOptions::slow(StoreOperation::Read, target) };
        self.session.ask(options, endpoint, request, |answer: &Answer| leased::created(answer, is_write)).await
    }

    /// Revokes a secret that no caller gets.
    pub(super) fn give_back(&self, handle: SecretValue, request: &RequestId) {
        tracing::warn!(store = %self.exchange.store, "a key-value mount returned a lease; revoking it");
        let (session, mounts, request) = (self.session.clone(), self.mounts.clone(), request.clone());
        // A failure is logged; the lease then ends by itself.
        tokio::spawn(async move { revoke(&session, &mounts, &handle, &request).await });
    }
}

async fn revoke(
    session: &Session,
    mounts: &Mounts,
    handle: &SecretValue,
    request: &RequestId,
) -> Result<(), ReadError> {
    let origin = Origin::of(handle, mounts);
    let options = CallOptions::slow(StoreOperation::Revoke, origin.target());
    let answer = session.ask(options, || RevokeLease { handle }, request, leased::revoked).await;
    answer.map(|_| ()).map_err(|failed| failed.error)
}

/// The origin of a lease: its failures count for its mount and its role.
struct Origin {
    mount: Arc<str>,
    path: String,
}

impl Origin {
    /// A handle is the path that was read, plus a random last segment.
    #[expect(clippy::disallowed_methods, reason = "what is kept of it is the path that the policy names")]
    fn of(handle: &SecretValue, mounts: &Mounts) -> Self {
        let text = handle.expose_secret();
        let path = text.rsplit_once('/').map_or(text, |(path, _)| path);
        let first = || path.split('/').next().map(|first| format!("{first}/").into());
        let mount = mounts.above(text).map(|(mount, _)| mount.path).or_else(first);
        Self { mount: mount.unwrap_or_default(), path: path.to_owned() }
    }

    fn target(&self) -> Target<'_> {
        Target { mount: &self.mount, path: Some(&self.path), asked: Some(&self.path) }
    }
}

/// A secret created with a token of its own ends with that token, which is not renewed.
fn within(grant: Grant, token: &Token) -> Grant {
    match token.life {
        TokenLifetime::Until { end, .. } if token.uses.is_some() => {
            let left = end.saturating_duration_since(Instant::now());
            // Never zero. A secret with less than a second left is not issued.
            Grant { ttl: grant.ttl.min(left.max(Duration::from_millis(1))), renewable: false }
        }
        _ => grant,
    }
}
