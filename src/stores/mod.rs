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
mod calls;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod cloud;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod cloud_values;
mod credential_file;
mod dynamic;
mod file;
#[cfg(feature = "gcp")]
mod gcp;
mod inspect;
mod json_text;
mod leases;
mod login;
mod names;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod oauth_answer;
mod outbound;
pub mod path;
mod port;
mod registry;
mod renewal;
mod secret_ids;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod session;
mod values;
mod vault;

use crate::config::stores::{Kind, Store};
use crate::metrics::Metrics;
#[cfg(feature = "aws")]
use aws::AwsStore;
use cache::Cached;
use file::FileStore;
use registry::{Backend, Opened};
use std::sync::Arc;
use vault::VaultStore;

pub use administer::Ended;
#[cfg(all(fuzzing, feature = "azure"))]
pub use azure::fuzzing as azure_fuzzing;
#[cfg(all(fuzzing, feature = "gcp"))]
pub use gcp::fuzzing as gcp_fuzzing;
pub use inspect::StoreTime;
pub use leases::{
    After, FetchError, LeaseEvent, LeaseEventKind, LeaseSettings, LeaseView, LeaseWitness, NotRecorded, Revoked,
};
pub use names::Naming;
pub use port::{OnlineFault, OpenFault, ReadError, Reading, SecretStore, Unsuitable};
pub use registry::{Granted, OpenError, Stores};
pub use vault::Engine;
#[cfg(fuzzing)]
pub use vault::fuzzing;

impl Stores {
    /// Opens every store. A Vault store logs in in the background, so an unreachable server does not prevent the
    /// start. Needs a tokio runtime. The tasks end when the stores are dropped.
    ///
    /// # Errors
    /// The first store with an unusable file or address.
    pub fn open(config: &[Store], metrics: &Arc<Metrics>) -> Result<Self, OpenError> {
        let by_name = config
            .iter()
            .map(|store| match open_one(store, metrics) {
                Ok(opened) => Ok((store.name.clone(), opened)),
                Err(fault) => Err(OpenError { store: store.name.clone(), fault }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { by_name, metrics: metrics.clone(), leases: None, ids: None })
    }
}

fn open_one(store: &Store, metrics: &Arc<Metrics>) -> Result<Opened, OpenFault> {
    match &store.kind {
        Kind::Vault(config) => {
            let vault = Arc::new(VaultStore::open(&store.name, config, metrics)?);
            let cached = Arc::new(Cached::new(&store.name, vault.clone(), config.cache, metrics)?);
            let backend = Backend::Vault(vault, config.cache.max_entries);
            Ok(Opened { reader: cached.clone(), cached: Some(cached), backend })
        }
        #[cfg(feature = "aws")]
        Kind::AwsSecretsManager(config) => {
            let aws = Arc::new(AwsStore::open(&store.name, config, metrics)?);
            let cached = Arc::new(Cached::new(&store.name, aws.clone(), config.cache, metrics)?);
            Ok(Opened { reader: cached.clone(), cached: Some(cached), backend: Backend::Aws(aws) })
        }
        #[cfg(not(feature = "aws"))]
        Kind::AwsSecretsManager(_) => Err(OpenFault::NotBuilt("aws")),
        #[cfg(feature = "azure")]
        Kind::AzureKeyVault(config) => {
            let azure = Arc::new(azure::open(&store.name, config, metrics)?);
            let cached = Arc::new(Cached::new(&store.name, azure.clone(), config.cache, metrics)?);
            Ok(Opened { reader: cached.clone(), cached: Some(cached), backend: Backend::Azure(azure) })
        }
        #[cfg(not(feature = "azure"))]
        Kind::AzureKeyVault(_) => Err(OpenFault::NotBuilt("azure")),
        #[cfg(feature = "gcp")]
        Kind::GcpSecretManager(config) => {
            let gcp = Arc::new(gcp::open(&store.name, config, metrics)?);
            let cached = Arc::new(Cached::new(&store.name, gcp.clone(), config.cache, metrics)?);
            Ok(Opened { reader: cached.clone(), cached: Some(cached), backend: Backend::Gcp(gcp) })
        }
        #[cfg(not(feature = "gcp"))]
        Kind::GcpSecretManager(_) => Err(OpenFault::NotBuilt("gcp")),
        Kind::File(path) => {
            let file = Arc::new(FileStore::open(&store.name, path, metrics)?);
            Ok(Opened { reader: file.clone(), cached: None, backend: Backend::File(file) })
        }
    }
}
