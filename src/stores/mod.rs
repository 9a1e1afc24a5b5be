//! Stage 4, stores: a secret reference becomes a secret, read from its store or the cache, or created on request.

#[cfg(feature = "gcp")]
mod access_token;
mod administer;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
mod bounded_file;
mod breaker;
mod cache;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod cloud;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod cloud_session;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod cloud_values;
mod credential_file;
mod current_login;
mod dynamic_store;
mod file;
#[cfg(feature = "gcp")]
mod gcp;
mod inspect;
mod json_text;
mod leases;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod oauth_response;
mod outbound;
mod port;
mod registry;
mod renewal;
mod secret_ids;
mod secret_names;
mod server_calls;
pub mod store_path;
mod values;
mod vault;

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use crate::config::cache::Cache;
use crate::config::stores::{Kind, Store};
use crate::metrics::Metrics;
use cache::CachedStore;
use file::FileStore;
use registry::{Backend, OpenedStore};
use std::sync::Arc;
use vault::VaultStore;

pub use administer::EndedLease;
#[cfg(all(fuzzing, feature = "azure"))]
pub use azure::fuzzing as azure_fuzzing;
#[cfg(all(fuzzing, feature = "gcp"))]
pub use gcp::fuzzing as gcp_fuzzing;
pub use inspect::StoreTime;
pub use leases::{
    FetchError, LeaseEvent, LeaseEventKind, LeaseEventRecorder, LeaseSettings, LeaseView, PageStart, RecordingError,
    RevocationProgress, RevocationRequest,
};
pub use port::{EngineMismatch, FetchedSecret, OnlineError, OpenError, ReadError, SecretStore};
pub use registry::{ReadRequest, StoreOpenError, Stores};
pub use secret_names::SecretNaming;
pub use vault::Engine;
#[cfg(fuzzing)]
pub use vault::fuzzing as vault_fuzzing;

impl Stores {
    /// Opens every store. A Vault store logs in in the background, so an unreachable server does not prevent the start. Must be
    /// called in a Tokio runtime. The tasks end when the stores are dropped.
    ///
    /// # Errors
    /// The error of the first store whose file or address is unusable, or whose kind is not built in.
    pub fn open(config: &[Store], metrics: &Arc<Metrics>) -> Result<Self, StoreOpenError> {
        let by_name = config
            .iter()
            .map(|store| match open_store(store, metrics) {
                Ok(opened) => Ok((store.name.clone(), opened)),
                Err(error) => Err(StoreOpenError { store: store.name.clone(), error }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { by_name, metrics: metrics.clone(), leases: None, secret_ids: None })
    }
}

fn open_store(store: &Store, metrics: &Arc<Metrics>) -> Result<OpenedStore, OpenError> {
    match &store.kind {
        Kind::Vault(config) => {
            let vault = Arc::new(VaultStore::open(&store.name, config, metrics)?);
            let cached = Arc::new(CachedStore::new(&store.name, vault.clone(), config.cache, metrics)?);
            let backend = Backend::Vault { store: vault, max_leases: config.cache.max_entries };
            Ok(OpenedStore { reader: cached.clone(), cached: Some(cached), backend })
        }
        #[cfg(feature = "aws")]
        Kind::AwsSecretsManager(config) => {
            open_cloud_store(&store.name, aws::open(&store.name, config, metrics)?, config.cache, metrics)
        }
        #[cfg(not(feature = "aws"))]
        Kind::AwsSecretsManager(_) => Err(OpenError::NotBuilt("aws")),
        #[cfg(feature = "azure")]
        Kind::AzureKeyVault(config) => {
            open_cloud_store(&store.name, azure::open(&store.name, config, metrics)?, config.cache, metrics)
        }
        #[cfg(not(feature = "azure"))]
        Kind::AzureKeyVault(_) => Err(OpenError::NotBuilt("azure")),
        #[cfg(feature = "gcp")]
        Kind::GcpSecretManager(config) => {
            open_cloud_store(&store.name, gcp::open(&store.name, config, metrics)?, config.cache, metrics)
        }
        #[cfg(not(feature = "gcp"))]
        Kind::GcpSecretManager(_) => Err(OpenError::NotBuilt("gcp")),
        Kind::File(path) => {
            let file = Arc::new(FileStore::open(&store.name, path, metrics)?);
            Ok(OpenedStore { reader: file.clone(), cached: None, backend: Backend::File(file) })
        }
    }
}

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
fn open_cloud_store<C: cloud::Cloud>(
    name: &Arc<str>,
    store: cloud::CloudStore<C>,
    cache: Cache,
    metrics: &Arc<Metrics>,
) -> Result<OpenedStore, OpenError> {
    let store = Arc::new(store);
    let cached = Arc::new(CachedStore::new(name, store.clone(), cache, metrics)?);
    Ok(OpenedStore { reader: cached.clone(), cached: Some(cached), backend: Backend::Cloud(store) })
}
