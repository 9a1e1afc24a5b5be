//! The configured stores by name: reads go to a store, to its cache, or to the lease manager.

use super::cache::{CacheLookup, CachedStore};
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use super::cloud::CloudBackend;
use super::file::FileStore;
use super::leases::{DynamicSource, FetchError, LeaseRequest, LeaseSettings, Leases};
use super::path::StorePath;
use super::port::{OnlineError, OpenError, ReadError, Reading, SecretStore, Unsuitable};
use super::secret_ids::SecretIds;
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

/// A store cannot be opened or reloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store {store}: {fault}")]
pub struct StoreOpenError {
    /// The store's configured name.
    pub store: Arc<str>,
    /// The reason.
    pub fault: OpenError,
}

/// All configured stores by name.
pub struct Stores {
    pub(super) by_name: BTreeMap<Arc<str>, OpenedStore>,
    pub(super) metrics: Arc<Metrics>,
    /// `None` if dynamic secrets are refused.
    pub(super) leases: Option<Leases>,
    /// Makes the public IDs of secrets with a lease; `None` if dynamic secrets are refused.
    pub(super) ids: Option<SecretIds>,
}

/// One store. `reader` is its cache if it has one, and otherwise the store.
pub(super) struct OpenedStore {
    pub(super) reader: Arc<dyn SecretStore>,
    pub(super) cached: Option<Arc<CachedStore>>,
    pub(super) backend: Backend,
}

/// The read of a granted secret for a caller.
#[derive(Debug)]
pub struct ReadRequest<'a> {
    /// The store and the path.
    pub secret: &'a SecretRef,
    /// Which callers share it, if it is dynamic.
    pub mode: LeaseMode,
    /// The caller that gets it.
    pub caller: &'a Arc<Caller>,
    /// Minimum remaining lifetime of a dynamic secret.
    pub min_lifetime: Duration,
    /// The body of the write, for engines that need one.
    pub write: Option<&'a WriteBody>,
    /// Whether a lease of one caller (`LeaseMode::PerPod`) is refused to callers without a pod.
    pub pods_only: bool,
    /// The id of the request.
    pub request: &'a RequestId,
}

pub(super) enum Backend {
    /// A Vault store, and the maximum number of its leases.
    Vault(Arc<VaultStore>, u64),
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    Cloud(Arc<dyn CloudBackend>),
    File(Arc<FileStore>),
}

impl Stores {
    /// Starts the lease manager, without which no dynamic secret is issued.
    ///
    /// # Errors
    /// The operating system gives no random bytes for the keys.
    pub fn keep_leases(mut self, keeping: LeaseSettings) -> Result<Self, RandomError> {
        self.ids = Some(SecretIds::new(&keeping.key, keeping.clock.now()));
        let sources = self.by_name.iter().filter_map(|(name, opened)| {
            let Backend::Vault(vault, most) = &opened.backend else { return None };
            Some((name.clone(), DynamicSource { store: vault.clone(), max_leases: *most }))
        });
        self.leases = Some(Leases::start(sources.collect(), keeping, &self.metrics)?);
        Ok(self)
    }

    /// Reads a secret for a caller. Stored secrets are the same for all callers; dynamic ones are shared as the mode says.
    ///
    /// # Errors
    /// See [`FetchError`]; an unknown store or an invalid path is `Misconfigured`.
    pub async fn read_for(&self, wanted: ReadRequest<'_>) -> Result<Reading, FetchError> {
        let ReadRequest { secret, mode, caller, min_lifetime, write, pods_only, request } = wanted;
        let needs_pod = pods_only || caller.unbound.is_some();
        let has_no_pod = needs_pod && mode == LeaseMode::PerPod && caller.workload.is_none();
        let (name, opened) = self.by_name.get_key_value(&secret.store).ok_or(ReadError::Misconfigured)?;
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        if let Some(write) = write {
            // Asked of Vault now, and not taken from the cache: a write to a key-value engine would replace a secret.
            let is_dynamic = if let Backend::Vault(vault, _) = &opened.backend {
                vault.is_dynamic_now(&path, request).await?
            } else {
                false
            };
            let leases =
                self.leases.as_ref().filter(|_| is_dynamic).ok_or(ReadError::from(Unsuitable::StaticEngine))?;
            if has_no_pod {
                return Err(FetchError::NoPod);
            }
            let write = Some(write.clone());
            let want = LeaseRequest { mode, caller: caller.clone(), min_lifetime, write, request: request.clone() };
            return leases.manager.get(name, &path, want).await;
        }
        let answer = match &opened.cached {
            None => opened.reader.read(&path, request).await,
            Some(cached) => match cached.look_up(&path, request).await {
                CacheLookup::Stored(answer) => answer,
                CacheLookup::Dynamic if has_no_pod => return Err(FetchError::NoPod),
                CacheLookup::Dynamic => {
                    let request = request.clone();
                    let want = LeaseRequest { mode, caller: caller.clone(), min_lifetime, write: None, request };
                    let leases = self.leases.as_ref().ok_or(ReadError::Misconfigured)?;
                    return leases.manager.get(name, &path, want).await;
                }
            },
        };
        Ok(Reading { secret: answer?, valid_for: None })
    }

    /// Reads a stored secret from the cache or the store.
    ///
    /// # Errors
    /// See [`ReadError`]; an unknown store, an invalid path and a dynamic secret are `Misconfigured`.
    pub async fn read(&self, secret: &SecretRef, request: &RequestId) -> Result<Arc<Secret>, ReadError> {
        let opened = self.by_name.get(&secret.store).ok_or(ReadError::Misconfigured)?;
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        opened.reader.read(&path, request).await
    }

    /// The name that a cloud store has for the secret of this path. `None` for other stores, and if no name is possible.
    #[must_use]
    pub fn name_of(&self, secret: &SecretRef) -> Option<String> {
        match &self.by_name.get(&secret.store)?.backend {
            #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
            Backend::Cloud(cloud) => cloud.naming().name(&secret.path),
            Backend::Vault(..) | Backend::File(_) => None,
        }
    }

    /// The mount of a path, with a slash at its end, and its engine. Only Vault stores have mounts.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn mount_of(&self, secret: &SecretRef, request: &RequestId) -> Result<(String, Engine), ReadError> {
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        match self.by_name.get(&secret.store).map(|opened| &opened.backend) {
            Some(Backend::Vault(vault, _)) => vault.mount_of(&path, request).await,
            _ => Err(ReadError::Misconfigured),
        }
    }

    /// Reads files again: secrets of file stores, CA files, tokens. If one cannot be read, its old content stays in use.
    pub async fn reload(&self) -> Vec<StoreOpenError> {
        let mut errors = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.backend {
                Backend::Vault(vault, _) => vault.reload().await,
                #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
                Backend::Cloud(cloud) => cloud.reload().await,
                Backend::File(file) => file.reload().await,
            };
            errors.extend(result.err().map(|fault| StoreOpenError { store: name.clone(), fault }));
        }
        errors
    }

    /// Checks that every store serves and accepts the broker's credentials. Reads no secret.
    pub async fn check_online(&self) -> Vec<(Arc<str>, Result<(), OnlineError>)> {
        let mut results = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.backend {
                Backend::Vault(vault, _) => vault.check_online().await,
                #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
                Backend::Cloud(cloud) => cloud.check_online().await,
                Backend::File(_) => Ok(()),
            };
            results.push((name.clone(), result));
        }
        results
    }
}
