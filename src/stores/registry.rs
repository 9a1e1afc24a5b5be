//! The configured stores by name: reads go to a store, to its cache, or to the lease manager.

#[cfg(feature = "aws")]
use super::aws::AwsStore;
use super::cache::{Cached, Found};
use super::file::FileStore;
use super::leases::{DynamicSource, Keeping, Leases, Unread, Want};
use super::path::StorePath;
use super::port::{OnlineFault, OpenFault, ReadError, Reading, SecretStore, Unsuitable};
use super::secret_ids::SecretIds;
use super::vault::{Engine, VaultStore};
use crate::metrics::Metrics;
use crate::model::caller::Caller;
use crate::model::lease::{Lease, LeaseMode};
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretRef;
use crate::model::write::Write;
use crate::sealing::random::NoRandomness;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A store that cannot be opened, or not opened again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store {store}: {fault}")]
pub struct OpenError {
    /// The store's configured name.
    pub store: Arc<str>,
    /// What is wrong.
    pub fault: OpenFault,
}

/// Every configured store, by name.
pub struct Stores {
    pub(super) by_name: BTreeMap<Arc<str>, Opened>,
    pub(super) metrics: Arc<Metrics>,
    /// Without, nothing is made on request.
    pub(super) leases: Option<Leases>,
    pub(super) ids: Option<SecretIds>,
}

/// One store: what reads go through, its cache where it has one, and what it is underneath.
pub(super) struct Opened {
    pub(super) reader: Arc<dyn SecretStore>,
    pub(super) cached: Option<Arc<Cached>>,
    pub(super) backend: Backend,
}

/// What a caller is to be given.
#[derive(Debug)]
pub struct Granted<'a> {
    /// Where it stands.
    pub secret: &'a SecretRef,
    /// Who else gets the same, where the store makes it on request.
    pub mode: LeaseMode,
    /// Whom it is for.
    pub caller: &'a Arc<Caller>,
    /// How long it has to live at least.
    pub life: Duration,
    /// With what the store is asked, where the engine's read is a write.
    pub write: Option<&'a Write>,
    /// The request that it is for.
    pub request: &'a RequestId,
}

pub(super) enum Backend {
    /// With how many of its dynamic leases are handed out at most.
    Vault(Arc<VaultStore>, u64),
    #[cfg(feature = "aws")]
    Aws(Arc<AwsStore>),
    File(Arc<FileStore>),
}

impl Stores {
    /// From now on what stores make on request is handed out, and looked after until its end.
    ///
    /// # Errors
    /// When there is no randomness to seal with.
    pub fn keep_leases(mut self, keeping: Keeping) -> Result<Self, NoRandomness> {
        self.ids = Some(SecretIds::new(&keeping.key, keeping.clock.now()));
        let sources = self.by_name.iter().filter_map(|(name, opened)| {
            let Backend::Vault(vault, most) = &opened.backend else { return None };
            Some((name.clone(), DynamicSource { store: vault.clone(), most: *most }))
        });
        self.leases = Some(Leases::keep(sources.collect(), keeping, &self.metrics)?);
        Ok(self)
    }

    /// Reads a secret for a caller: what the store keeps is the same for all, what it makes is for those the mode says.
    ///
    /// # Errors
    /// See [`Unread`]; an unknown store or a path that must not be read is `Misconfigured`.
    pub async fn read_for(&self, granted: Granted<'_>) -> Result<Reading, Unread> {
        let Granted { secret, mode, caller, life, write, request } = granted;
        let (name, opened) = self.by_name.get_key_value(&secret.store).ok_or(ReadError::Misconfigured)?;
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        if let Some(write) = write {
            // Looked up anew: at an engine that keeps its secrets, a write would replace one.
            let is_dynamic = if let Backend::Vault(vault, _) = &opened.backend {
                vault.is_dynamic_now(&path, request).await?
            } else {
                false
            };
            let leases =
                self.leases.as_ref().filter(|_| is_dynamic).ok_or(ReadError::from(Unsuitable::KeepsSecrets))?;
            let write = Some(write.clone());
            let want = Want { mode, caller: caller.clone(), life, write, request: request.clone() };
            return leases.manager.get(name, &path, want).await;
        }
        let answer = match &opened.cached {
            None => opened.reader.read(&path, request).await,
            Some(cached) => match cached.look(&path, request).await {
                Found::Kept(answer) => answer,
                Found::Made => {
                    let request = request.clone();
                    let want = Want { mode, caller: caller.clone(), life, write: None, request };
                    let leases = self.leases.as_ref().ok_or(ReadError::Misconfigured)?;
                    return leases.manager.get(name, &path, want).await;
                }
            },
        };
        Ok(Reading { lease: answer?, good_for: None })
    }

    /// Reads a secret that its store keeps, from there or from that store's cache.
    ///
    /// # Errors
    /// See [`ReadError`]; an unknown store, a path that must not be read, and what is made on request are `Misconfigured`.
    pub async fn read(&self, secret: &SecretRef, request: &RequestId) -> Result<Arc<Lease>, ReadError> {
        let opened = self.by_name.get(&secret.store).ok_or(ReadError::Misconfigured)?;
        let path = StorePath::try_from(secret.path.as_str()).map_err(|_| ReadError::Misconfigured)?;
        opened.reader.read(&path, request).await
    }

    /// The mount of a path, with a slash at its end, and how it is read. Only a Vault has mounts.
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

    /// Reads again what came from files: secrets of file stores, CA files, tokens. What cannot be read stays as it was.
    pub async fn reload(&self) -> Vec<OpenError> {
        let mut errors = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.backend {
                Backend::Vault(vault, _) => vault.reload().await,
                #[cfg(feature = "aws")]
                Backend::Aws(aws) => aws.reload().await,
                Backend::File(file) => file.reload().await,
            };
            errors.extend(result.err().map(|fault| OpenError { store: name.clone(), fault }));
        }
        errors
    }

    /// Asks every store whether it is up and takes the broker's credentials. Reads no secret.
    pub async fn check_online(&self) -> Vec<(Arc<str>, Result<(), OnlineFault>)> {
        let mut results = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.backend {
                Backend::Vault(vault, _) => vault.check_online().await,
                #[cfg(feature = "aws")]
                Backend::Aws(aws) => aws.check_online().await,
                Backend::File(_) => Ok(()),
            };
            results.push((name.clone(), result));
        }
        results
    }
}
