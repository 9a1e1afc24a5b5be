//! `HashiCorp` Vault and OpenBao, with the endpoint types of `vaultrs`. Key-value engines are read here, all others in
//! `dynamic`.

mod call;
mod capabilities;
mod client;
mod dynamic;
mod endpoints;
#[cfg(fuzzing)]
pub mod fuzzing;
mod lease_responses;
mod login;
mod mount_lookup;
mod mounts;
mod responses;
mod server;
mod session;
mod token;
mod upkeep;

use super::breaker::BreakerTarget;
use super::outbound::{StoreResponse, TransportError};
use super::port::{OnlineError, OpenError, ReadError, SecretStore};
use super::server_calls::CallError;
use super::store_path::{StorePath, is_plain};
use crate::config::stores::{Vault, VaultAuthMethod};
use crate::metrics::Metrics;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use async_trait::async_trait;
use call::CallOptions;
use client::Client;
use mount_lookup::MountLookup;
use mounts::{Mount, Mounts};
use rustify::endpoint::Endpoint;
use server::VaultServer;
use session::VaultSession;
use std::sync::{Arc, Mutex, PoisonError};
use upkeep::Upkeep;
use vaultrs::api::kv1::requests::GetSecretRequest;
use vaultrs::api::kv2::requests::ReadSecretRequest;

pub(super) use client::trust_files;
pub use mounts::Engine;

/// A Vault or OpenBao server.
pub(super) struct VaultStore {
    server: Arc<VaultServer>,
    session: Arc<VaultSession>,
    mounts: Arc<Mounts>,
    mount_lookup: MountLookup,
    /// Ends its task on drop.
    _upkeep: Upkeep,
}

impl VaultStore {
    /// Builds the client and starts to log in.
    ///
    /// # Errors
    /// An invalid configuration or an unusable CA file.
    pub(super) fn open(name: &Arc<str>, config: &Vault, metrics: &Arc<Metrics>) -> Result<Self, OpenError> {
        if let VaultAuthMethod::Kubernetes { mount, .. }
        | VaultAuthMethod::Jwt { mount, .. }
        | VaultAuthMethod::AppRole { mount, .. } = &config.auth
            && !is_plain(mount)
        {
            return Err(OpenError::AuthMount);
        }
        let client = Client::open(name, config)?;
        let server = Arc::new(VaultServer::new(name.clone(), client, metrics.clone()));
        let session = Arc::new(VaultSession::new(server.clone(), config.auth.clone()));
        let upkeep = Upkeep::start(session.clone());
        let mounts = Arc::default();
        let mount_lookup = MountLookup::new(&session, &mounts);
        Ok(Self { server, session, mounts, mount_lookup, _upkeep: upkeep })
    }

    /// Reads the CA file and the token file again.
    ///
    /// # Errors
    /// An unusable CA file; the old roots stay.
    pub(super) async fn reload(&self) -> Result<(), OpenError> {
        self.session.reload(&RequestId::random()).await;
        self.server.client.reload()
    }

    /// Checks the server's health and the broker's credentials.
    ///
    /// # Errors
    /// See [`OnlineError`].
    pub(super) async fn check_online(&self) -> Result<(), OnlineError> {
        let request_id = RequestId::random();
        match self.server.client.health(&request_id).await.map(|response| response.status) {
            // Active, standby, and the two kinds of replicas.
            Ok(200 | 429 | 472 | 473) => {}
            Ok(501) => return Err(OnlineError::Uninitialised),
            Ok(503) => return Err(OnlineError::Sealed),
            Err(TransportError::Unconnected(failure)) => return Err(OnlineError::Unconnected(failure)),
            Err(TransportError::Timeout) => return Err(OnlineError::TimedOut),
            _ => return Err(OnlineError::Unavailable),
        }
        let token = self.session.current_token(&request_id).await.map_err(OnlineError::from_login_error)?;
        if token.uses.is_some() {
            // The token is from a recent login, and a look-up would take one of its uses.
            return Ok(());
        }
        match self.session.look_up_token(&token, &request_id).await {
            // The token is from a recent login. Possibly its policies do not allow it to look itself up.
            Err(ReadError::Forbidden) if self.session.can_log_in() => Ok(()),
            result => result.map(|_| ()).map_err(OnlineError::from_login_error),
        }
    }

    /// The mount of a path and its engine.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(super) async fn find_mount(
        &self,
        path: &StorePath,
        request_id: &RequestId,
    ) -> Result<(String, Engine), ReadError> {
        self.mount(path, request_id).await.map(|mount| (mount.path.to_string(), mount.engine))
    }

    /// Whether the engine of a path creates secrets, according to a look-up of the last ten seconds.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(super) async fn is_dynamic_now(&self, path: &StorePath, request_id: &RequestId) -> Result<bool, ReadError> {
        if let Some((mount, false)) = self.mounts.find(path) {
            self.mounts.remove(&mount);
        }
        self.mount(path, request_id).await.map(|mount| mount.engine == Engine::Dynamic)
    }

    /// The mount of a path, from the cache or the server.
    async fn mount(&self, path: &StorePath, request_id: &RequestId) -> Result<Mount, ReadError> {
        if let Some((mount, _)) = self.mounts.find(path) {
            return Ok(mount);
        }
        self.mount_lookup.look_up(path, request_id).await.map_err(|failed| failed.error)
    }

    async fn read_secret(&self, path: &StorePath, request_id: &RequestId) -> Result<Secret, CallError> {
        let Some((mount, is_confirmed)) = self.mounts.find(path) else {
            let mount = self.mount_lookup.look_up(path, request_id).await?;
            return self.fetch(&mount, path, request_id).await;
        };
        let result = self.fetch(&mount, path, request_id).await;
        // If the mount has been replaced since its look-up, every secret may look absent.
        let may_be_outdated = match &result {
            Err(CallError { error: ReadError::Absent, .. }) => !is_confirmed,
            Err(CallError { error: ReadError::Misconfigured, .. }) => true,
            _ => false,
        };
        if !may_be_outdated {
            return result;
        }
        self.mounts.remove(&mount);
        let current = self.mount_lookup.look_up(path, request_id).await?;
        if current == mount { result } else { self.fetch(&current, path, request_id).await }
    }

    async fn fetch(&self, mount: &Mount, path: &StorePath, request_id: &RequestId) -> Result<Secret, CallError> {
        let below = mount.relative_path(path).ok_or(CallError::not_sent(ReadError::Misconfigured))?;
        match mount.engine {
            Engine::KvV1 => {
                let endpoint = || GetSecretRequest { mount: mount.name(), path: below.to_owned() };
                self.fetch_from(mount, path, request_id, endpoint).await
            }
            Engine::KvV2 => {
                let endpoint = || ReadSecretRequest { mount: mount.name(), path: below.to_owned(), version: None };
                self.fetch_from(mount, path, request_id, endpoint).await
            }
            // A read would create a secret that no caller gets.
            Engine::Dynamic => Err(CallError::not_sent(ReadError::Misconfigured)),
        }
    }

    async fn fetch_from<E: Endpoint>(
        &self,
        mount: &Mount,
        path: &StorePath,
        request_id: &RequestId,
        endpoint: impl Fn() -> E,
    ) -> Result<Secret, CallError> {
        let target = BreakerTarget { mount: &mount.path, creation_path: None, secret_path: Some(path.as_str()) };
        let stray_lease = Mutex::new(None);
        let parse = |response: &StoreResponse| {
            *stray_lease.lock().unwrap_or_else(PoisonError::into_inner) = responses::find_stray_lease(response);
            responses::parse_secret(response, mount.engine)
        };
        let options = CallOptions::new(StoreOperation::Read, target);
        let response = self.session.call(options, endpoint, request_id, parse).await;
        if let Some(lease_id) = stray_lease.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.revoke_in_background(lease_id, request_id);
        }
        response.map(|(secret, _)| secret)
    }
}

#[async_trait]
impl SecretStore for VaultStore {
    async fn is_dynamic(&self, path: &StorePath, request_id: &RequestId) -> Result<bool, ReadError> {
        self.mount(path, request_id).await.map(|mount| mount.engine == Engine::Dynamic)
    }

    async fn read(&self, path: &StorePath, request_id: &RequestId) -> Result<Arc<Secret>, ReadError> {
        self.read_secret(path, request_id).await.map(Arc::new).map_err(|failed| failed.error)
    }
}
