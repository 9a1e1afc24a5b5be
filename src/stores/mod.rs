//! 4. Fetch: a secret ref becomes a lease, read from its store or from the cache.

mod administer;
#[cfg(feature = "aws")]
mod aws;
mod bounded_file;
mod breaker;
mod cache;
mod credential_file;
mod dynamic;
mod file;
mod jitter;
mod json_text;
mod leases;
mod outbound;
pub mod path;
mod unsuitable;
mod values;
mod vault;

use crate::config::stores::{Kind, Store};
use crate::metrics::Metrics;
use crate::metrics::labels::StoreOutcome;
use crate::model::caller::Caller;
use crate::model::lease::{Lease, LeaseMode};
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretRef;
use crate::model::write::Write;
use crate::trust::ConnectFailure;
use administer::Naming;
use async_trait::async_trait;
#[cfg(feature = "aws")]
use aws::AwsStore;
use cache::{Cached, Found};
use file::FileStore;
use leases::{Leases, Source as DynamicSource, Want};
use path::StorePath;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use vault::VaultStore;

pub use administer::Ended;
pub use leases::{After, Keeping, LeaseEvent, LeaseEventKind, LeaseView, LeaseWitness, NotRecorded, Revoked, Unread};
pub use unsuitable::Unsuitable;
pub use vault::Engine;
#[cfg(fuzzing)]
pub use vault::fuzzing;

/// A secret backend. It is handed checked paths only, so that none can be led to a system mount.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// Whether what stands at a path is made for whoever reads it, and so is neither kept nor shared like a secret
    /// that the store keeps.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn makes(&self, _path: &StorePath, _request: &RequestId) -> Result<bool, ReadError> {
        Ok(false)
    }

    /// Reads the secret at a path as a human writes it.
    ///
    /// # Errors
    /// See [`ReadError`]: absent, forbidden and broken are never mixed up.
    async fn read(&self, path: &StorePath, request: &RequestId) -> Result<Arc<Lease>, ReadError>;
}

/// Why a store gave no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReadError {
    /// There is no such secret; the only answer that may become an empty bundle.
    #[error("no such secret")]
    Absent,
    /// There was one; it is deleted or destroyed. To the caller as absent.
    #[error("the secret is deleted")]
    Deleted,
    /// There is no such mount, or the path does not fit its engine.
    #[error("the path leads to no secret engine")]
    Misconfigured,
    /// The path is another kind of thing than its policy takes it for.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// The broker's own token may not read it.
    #[error("the store forbids the broker to read it")]
    Forbidden,
    /// No usable answer: unreachable, sealed, overloaded, or nonsense.
    #[error("the store gave no usable answer")]
    Unavailable,
}

impl ReadError {
    /// The label it is counted under.
    #[must_use]
    pub const fn outcome(self) -> StoreOutcome {
        match self {
            Self::Absent => StoreOutcome::Absent,
            Self::Deleted => StoreOutcome::Deleted,
            Self::Misconfigured | Self::Unsuitable(_) => StoreOutcome::Misconfigured,
            Self::Forbidden => StoreOutcome::Forbidden,
            Self::Unavailable => StoreOutcome::Unavailable,
        }
    }
}

/// The label of a read's result.
const fn outcome_of<T>(result: &Result<T, ReadError>) -> StoreOutcome {
    match result {
        Ok(_) => StoreOutcome::Ok,
        Err(error) => error.outcome(),
    }
}

/// A store that cannot be opened, or not opened again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("store {store}: {fault}")]
pub struct OpenError {
    /// The store's configured name.
    pub store: Arc<str>,
    /// What is wrong.
    pub fault: OpenFault,
}

/// What is wrong with a store's configuration or with a file that it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// The address cannot be called.
    #[error("the address is no http or https URL")]
    Address,
    /// The namespace cannot be sent.
    #[error("the namespace does not fit into a header")]
    Namespace,
    /// The auth mount cannot be part of a URL.
    #[error("the auth mount is not a path of plain segments")]
    AuthMount,
    /// The CA file gives no roots.
    #[error("the caFile cannot be read or holds no PEM certificate")]
    CaFile,
    /// The client certificate gives no identity.
    #[error("clientCertFile and clientKeyFile cannot be read, or the key is not the certificate's")]
    ClientCertificate,
    /// The proxy cannot be used.
    #[error("the proxyUrl is no http or https URL")]
    Proxy,
    /// There are no roots to check the server with.
    #[error("no TLS roots: set caFile, or install the system's CA bundle")]
    TlsRoots,
    /// The store's kind was left out when this binary was built.
    #[error("this build of claviger was made without its feature aws")]
    NotBuilt,
    /// There is nothing to make a key of.
    #[error("the operating system gives no random bytes")]
    Randomness,
    /// The file cannot be read.
    #[error("the file cannot be read, or is not UTF-8")]
    Unreadable,
    /// The file is too large.
    #[error("the file has more than {0} bytes")]
    TooLarge(usize),
    /// The file is neither YAML nor JSON.
    #[error("the file is not one well-formed document (line {line}, column {column})")]
    Malformed {
        /// The line, from 1; 0 where it is not known.
        line: u64,
        /// The column, from 1; 0 where it is not known.
        column: u64,
    },
    /// The file has another shape than `{path: {KEY: value}}`. The pointer names paths and keys, never a value.
    #[error("the file must map paths to keys and values, and does not at \"{0}\"")]
    Shape(String),
    /// A value without quotes that is no text to YAML, and has more than one spelling. A pointer as above.
    #[error("the value at \"{0}\" must be put in quotes: without them YAML takes it for a number, a boolean or null")]
    Unquoted(String),
}

/// Every configured store, by name.
pub struct Stores {
    by_name: BTreeMap<Arc<str>, Opened>,
    metrics: Arc<Metrics>,
    /// Without, nothing is made on request.
    leases: Option<Leases>,
    naming: Option<Naming>,
}

/// One store: what reads go through, its cache where it has one, and what it is underneath.
struct Opened {
    reader: Arc<dyn SecretStore>,
    cached: Option<Arc<Cached>>,
    source: Source,
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

/// A lease, and how long it lives from now where the store will end it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The lease.
    pub lease: Arc<Lease>,
    /// None for what the store keeps.
    pub good_for: Option<Duration>,
}

enum Source {
    /// With how many of its dynamic leases are handed out at most.
    Vault(Arc<VaultStore>, u64),
    #[cfg(feature = "aws")]
    Aws(Arc<AwsStore>),
    File(Arc<FileStore>),
}

impl Stores {
    /// Opens every store. A Vault store logs in in the background, so that an unreachable one stops nobody from
    /// starting; it has to be called inside a tokio runtime. The tasks end when the stores are dropped.
    ///
    /// # Errors
    /// The first store whose files or address are no good.
    pub fn open(config: &[Store], metrics: &Arc<Metrics>) -> Result<Self, OpenError> {
        let by_name = config
            .iter()
            .map(|store| match open_one(store, metrics) {
                Ok(opened) => Ok((store.name.clone(), opened)),
                Err(fault) => Err(OpenError { store: store.name.clone(), fault }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { by_name, metrics: metrics.clone(), leases: None, naming: None })
    }

    /// From now on what stores make on request is handed out, and looked after until its end.
    ///
    /// # Errors
    /// When there is no randomness to seal with.
    pub fn keep_leases(mut self, keeping: Keeping) -> Result<Self, NoRandomness> {
        self.naming = Some(Naming::new(&keeping.key, keeping.clock.now()));
        let sources = self.by_name.iter().filter_map(|(name, opened)| {
            let Source::Vault(vault, most) = &opened.source else { return None };
            Some((name.clone(), DynamicSource { store: vault.clone(), most: *most }))
        });
        self.leases = Some(Leases::keep(sources.collect(), keeping, &self.metrics).ok_or(NoRandomness)?);
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
            let makes = if let Source::Vault(vault, _) = &opened.source {
                vault.makes_now(&path, request).await?
            } else {
                false
            };
            let leases = self.leases.as_ref().filter(|_| makes).ok_or(ReadError::from(Unsuitable::KeepsSecrets))?;
            let write = Some(write.clone());
            let want = Want { mode, caller: caller.clone(), life, write, request: request.clone() };
            return leases.shared.get(name, &path, want).await;
        }
        let answer = match &opened.cached {
            None => opened.reader.read(&path, request).await,
            Some(cached) => match cached.look(&path, request).await {
                Found::Kept(answer) => answer,
                Found::Made => {
                    let request = request.clone();
                    let want = Want { mode, caller: caller.clone(), life, write: None, request };
                    let leases = self.leases.as_ref().ok_or(ReadError::Misconfigured)?;
                    return leases.shared.get(name, &path, want).await;
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
        match self.by_name.get(&secret.store).map(|opened| &opened.source) {
            Some(Source::Vault(vault, _)) => vault.mount_of(&path, request).await,
            _ => Err(ReadError::Misconfigured),
        }
    }

    /// Reads again what came from files: secrets of file stores, CA files, tokens. What cannot be read stays as it was.
    pub async fn reload(&self) -> Vec<OpenError> {
        let mut errors = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.source {
                Source::Vault(vault, _) => vault.reload().await,
                #[cfg(feature = "aws")]
                Source::Aws(aws) => aws.reload().await,
                Source::File(file) => file.reload().await,
            };
            errors.extend(result.err().map(|fault| OpenError { store: name.clone(), fault }));
        }
        errors
    }

    /// Asks every store whether it is up and takes the broker's credentials. Reads no secret.
    pub async fn check_online(&self) -> Vec<(Arc<str>, Result<(), OnlineFault>)> {
        let mut results = Vec::new();
        for (name, opened) in &self.by_name {
            let result = match &opened.source {
                Source::Vault(vault, _) => vault.check_online().await,
                #[cfg(feature = "aws")]
                Source::Aws(aws) => aws.check_online().await,
                Source::File(_) => Ok(()),
            };
            results.push((name.clone(), result));
        }
        results
    }
}

/// Leases cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness;

/// Why a store would give no secret now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OnlineFault {
    /// No connection, or no TLS on it.
    #[error("{}", .0.sentence())]
    Unconnected(ConnectFailure),
    /// No answer in time.
    #[error("it gave no answer in time")]
    TimedOut,
    /// An answer that is none of a store's.
    #[error("it gave no usable answer")]
    Unavailable,
    /// It has never been set up.
    #[error("it is not initialised")]
    Uninitialised,
    /// It is sealed.
    #[error("it is sealed")]
    Sealed,
    /// It does not take the broker's credentials.
    #[error("it refuses the broker's credentials")]
    Refused,
    /// There is no such auth mount, role or namespace.
    #[error("it knows no such auth mount, role or namespace, or not with these credentials")]
    Misconfigured,
}

fn open_one(store: &Store, metrics: &Arc<Metrics>) -> Result<Opened, OpenFault> {
    match &store.kind {
        Kind::Vault(config) => {
            let vault = Arc::new(VaultStore::open(&store.name, config, metrics)?);
            let cached = Arc::new(Cached::new(&store.name, vault.clone(), config.cache, metrics)?);
            let source = Source::Vault(vault, config.cache.max_entries);
            Ok(Opened { reader: cached.clone(), cached: Some(cached), source })
        }
        #[cfg(feature = "aws")]
        Kind::AwsSecretsManager(config) => {
            let aws = Arc::new(AwsStore::open(&store.name, config, metrics)?);
            let cached = Arc::new(Cached::new(&store.name, aws.clone(), config.cache, metrics)?);
            Ok(Opened { reader: cached.clone(), cached: Some(cached), source: Source::Aws(aws) })
        }
        #[cfg(not(feature = "aws"))]
        Kind::AwsSecretsManager(_) => Err(OpenFault::NotBuilt),
        Kind::File(path) => {
            let file = Arc::new(FileStore::open(&store.name, path, metrics)?);
            Ok(Opened { reader: file.clone(), cached: None, source: Source::File(file) })
        }
    }
}
