//! The configured stores by name: reads go to a store, to its cache, or to the lease manager.

use super::cache::{CacheLookup, CachedStore};
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use super::cloud::CloudBackend;
use super::file::FileStore;
use super::leases::{DynamicSource, FetchError, LeaseRequest, LeaseSettings, Leases};
use super::port::{EngineMismatch, FetchedSecret, OnlineError, OpenError, ReadError, SecretStore};
use super::secret_ids::SecretIds;
use super::store_path::StorePath;
use super::vault::{Engine, VaultStore};
use crate::metrics::Metrics;
use crate::model::caller::Caller;
use crate::model::lease::LeaseMode;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use crate::model::secret_ref::SecretRef;
use crate::model::write_body::WriteBody;
use crate::sealing::random::RandomError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a store cannot be opened or reloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store {store}: {error}")]
pub struct StoreOpenError {
    /// The store's configured name.
    pub store: Arc<str>,
    /// The reason.
    pub error: OpenError,
}

/// All configured stores by name.
pub struct Stores {
    pub(super) by_name: BTreeMap<Arc<str>, OpenedStore>,
    pub(super) metrics: Arc<Metrics>,
    /// `None` before [`Self::start_lease_manager`]: dynamic secrets are then refused.
    pub(super) leases: Option<Leases>,
    /// The public IDs of cached secrets. `None` before [`Self::start_lease_manager`]: lists then have no cached secrets.
    pub(super) secret_ids: Option<SecretIds>,
}

/// A store and its cache.
pub(super) struct OpenedStore {
    /// For reads: `cached`, or the store if it has no cache.
    pub(super) reader: Arc<dyn SecretStore>,
    pub(super) cached: Option<Arc<CachedStore>>,
    /// The store itself.
    pub(super) backend: Backend,
}

/// The read of a granted secret for a caller.
#[derive(Debug)]
pub struct ReadRequest<'a> {
    /// The store and the path.
    pub secret: &'a SecretRef,
    /// Which callers share the secret, if it is dynamic.
    pub mode: LeaseMode,
    /// The caller that gets the secret.
    pub caller: &'a Arc<Caller>,
    /// Minimum remaining lifetime of a dynamic secret.
    pub min_lifetime: Duration,
    /// The body of the write that creates the secret, for engines that need one.
    pub write: Option<&'a WriteBody>,
    /// Whether callers without a pod are refused leases that are not shared (`LeaseMode::PerPod`).
    pub pods_only: bool,
    /// The ID of the request.
    pub request_id: &'a RequestId,
}

/// The kinds of stores.
pub(super) enum Backend {
    Vault {
        store: Arc<VaultStore>,
        /// Maximum number of leases of the store: the setting `cache.maxEntries`, which also bounds the cache.
        max_leases: u64,
    },
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    Cloud(Arc<dyn CloudBackend>),
    File(Arc<FileStore>),
}

impl Stores {
    /// Starts the lease manager, without which no dynamic secret is issued.
    ///
    /// # Errors
    /// The operating system provides no random bytes for the keys.
    pub fn start_lease_manager(mut self, settings: LeaseSettings) -> Result<Self, RandomError> {
        self.secret_ids = Some(SecretIds::new(&settings.key, settings.clock.now()));
        let sources = self.by_name.iter().filter_map(|(name, opened)| {
            let Backend::Vault { store, max_leases } = &opened.backend else { return None };
            Some((name.clone(), DynamicSource { store: store.clone(), max_leases: *max_leases }))
        });
        self.leases = Some(Leases::start(sources.collect(), settings, &self.metrics)?);
        Ok(self)
    }

    /// Reads a secret for a caller. All callers get the same static secret. A dynamic secret is shared according to `mode`.
    ///
    /// # Errors
    /// See [`FetchError`]; an unknown store or an invalid path is `Misconfigured`.
    pub async fn read_for_caller(&self, read_request: ReadRequest<'_>) -> Result<FetchedSecret, FetchError> {
        let ReadRequest { secret, mode, caller, min_lifetime, write, pods_only, request_id } = read_request;
        // A ServiceAccount whose token is not bound to a pod gets only leases that callers share.
        let needs_pod = pods_only || caller.unbound_account.is_some();
        let lacks_pod = needs_pod && mode == LeaseMode::PerPod && caller.workload.is_none();
        let (name, opened) = self.by_name.get_key_value(&secret.store).ok_or(ReadError::Misconfigured)?;
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        if let Some(write) = write {
            // Not from the cache: if a key-value engine has been mounted since, the write would replace a static secret.
            let is_dynamic = if let Backend::Vault { store: vault, .. } = &opened.backend {
                Box::pin(vault.is_dynamic_now(&path, request_id)).await?
            } else {
                false
            };
            let leases =
                self.leases.as_ref().filter(|_| is_dynamic).ok_or(ReadError::from(EngineMismatch::StaticEngine))?;
            if lacks_pod {
                return Err(FetchError::NoPod);
            }
            let write = Some(write.clone());
            let lease_request =
                LeaseRequest { mode, caller: caller.clone(), min_lifetime, write, request_id: request_id.clone() };
            return Box::pin(leases.manager.fetch(name, &path, lease_request)).await;
        }
        let result = match &opened.cached {
            None => opened.reader.read(&path, request_id).await,
            Some(cached) => match cached.look_up(&path, request_id).await {
                CacheLookup::Static(result) => result,
                CacheLookup::Dynamic if lacks_pod => return Err(FetchError::NoPod),
                CacheLookup::Dynamic => {
                    let request_id = request_id.clone();
                    let lease_request =
                        LeaseRequest { mode, caller: caller.clone(), min_lifetime, write: None, request_id };
                    let leases = self.leases.as_ref().ok_or(ReadError::Misconfigured)?;
                    // Boxed, because its state is large, and most reads are of static secrets.
                    return Box::pin(leases.manager.fetch(name, &path, lease_request)).await;
                }
            },
        };
        Ok(FetchedSecret { secret: result?, expires_at: None })
    }

    /// Reads a static secret from the cache or the store.
    ///
    /// # Errors
    /// See [`ReadError`]; an unknown store, an invalid path and a dynamic secret are `Misconfigured`.
    pub async fn read(&self, secret: &SecretRef, request_id: &RequestId) -> Result<Arc<Secret>, ReadError> {
        let opened = self.by_name.get(&secret.store).ok_or(ReadError::Misconfigured)?;
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        opened.reader.read(&path, request_id).await
    }

    /// The name of the secret in its cloud store. `None` for other stores, and for a path that cannot be made into a name.
    #[must_use]
    pub fn cloud_secret_name(&self, secret: &SecretRef) -> Option<String> {
        match &self.by_name.get(&secret.store)?.backend {
            #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
            Backend::Cloud(cloud) => cloud.naming().secret_name(&secret.path),
            Backend::Vault { .. } | Backend::File(_) => None,
        }
    }

    /// Returns the mount of a path, with a slash at its end, and its engine.
    ///
    /// # Errors
    /// See [`ReadError`]; `Misconfigured` for a store without mounts: only Vault stores have them.
    pub async fn find_mount(&self, secret: &SecretRef, request_id: &RequestId) -> Result<(String, Engine), ReadError> {
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        match self.by_name.get(&secret.store).map(|opened| &opened.backend) {
            Some(Backend::Vault { store, .. }) => store.find_mount(&path, request_id).await,
            _ => Err(ReadError::Misconfigured),
        }
    }

    /// Reads files again: secrets of file stores, CA files, tokens. If a file cannot be read, its old content stays in use.
    /// Returns these errors.
    pub async fn reload(&self) -> Vec<StoreOpenError> {
        let mut errors = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.backend {
                Backend::Vault { store, .. } => store.reload().await,
                #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
                Backend::Cloud(cloud) => cloud.reload().await,
                Backend::File(file) => file.reload().await,
            };
            errors.extend(result.err().map(|error| StoreOpenError { store: name.clone(), error }));
        }
        errors
    }

    /// Checks for every store whether its server is available and accepts the broker's credentials. Reads no secret.
    pub async fn check_online(&self) -> Vec<(Arc<str>, Result<(), OnlineError>)> {
        let mut results = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.backend {
                Backend::Vault { store, .. } => store.check_online().await,
                #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
                Backend::Cloud(cloud) => cloud.check_online().await,
                Backend::File(_) => Ok(()),
            };
            results.push((name.clone(), result));
        }
        results
    }
}
