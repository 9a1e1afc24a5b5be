//! For `claviger doctor`: permissions on paths, and clocks. For `claviger check`: the files of stores.

use super::file::FileStore;
use super::port::ReadError;
use super::registry::{Backend, Stores};
use super::store_path::StorePath;
use super::vault;
use crate::config::stores::{Kind, Store};
use crate::document::Fault;
use crate::trust::{Trust, TrustError, TrustFiles};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One reading of a store's clock.
#[derive(Debug, Clone, Copy)]
pub struct StoreTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// The duration of the call that read the clock.
    pub round_trip: Duration,
}

impl Stores {
    /// Reads the files of file stores, the CA files and the client certificates, and returns the faults of those that cannot be used.
    /// The pointers are those of the configuration.
    #[must_use]
    pub fn check_files(configured: &[Store]) -> Vec<Fault> {
        let faults = configured.iter().enumerate().map(|(index, store)| {
            let fault = move |(key, detail): (String, String)| Fault::new(format!("/stores/{index}/{key}"), detail);
            file_faults(store).into_iter().map(fault)
        });
        faults.flatten().collect()
    }

    /// Whether the broker may read each path of a store, or write to the path if its flag is true. `None` if the store is not a
    /// Vault store.
    pub async fn may_use(&self, store: &str, paths: &[(String, bool)]) -> Option<Vec<Result<bool, ReadError>>> {
        let Backend::Vault { store: vault, .. } = &self.by_name.get(store)?.backend else { return None };
        let checked = paths.iter().map(|(path, writes)| Some((StorePath::try_from(path.as_str()).ok()?, *writes)));
        let Some(checked) = checked.collect::<Option<Vec<_>>>() else {
            return Some(paths.iter().map(|_| Err(ReadError::Misconfigured)).collect());
        };
        Some(vault.may_use(&checked).await)
    }

    /// Reads the clock of a store. `None` if the store reports no time.
    pub async fn server_time_of(&self, store: &str) -> Option<StoreTime> {
        let Backend::Vault { store: vault, .. } = &self.by_name.get(store)?.backend else { return None };
        let began = Instant::now();
        let seconds = vault.server_time().await?;
        Some(StoreTime { seconds, round_trip: began.elapsed() })
    }
}

/// The keys of the files that cannot be used, below the entry of the store, each with the reason.
fn file_faults(store: &Store) -> Vec<(String, String)> {
    let without_client = |ca: &Option<PathBuf>| TrustFiles { ca: ca.clone(), client: None };
    let (section, files) = match &store.kind {
        Kind::File(file) => {
            let error = FileStore::check(file).err();
            return error.map(|error| ("file/path".into(), error.to_string())).into_iter().collect();
        }
        Kind::Vault(config) => ("vault", vault::trust_files(config)),
        Kind::AwsSecretsManager(config) => ("awsSecretsManager", without_client(&config.ca_file)),
        Kind::AzureKeyVault(config) => ("azureKeyVault", without_client(&config.ca_file)),
        Kind::GcpSecretManager(config) => ("gcpSecretManager", without_client(&config.ca_file)),
    };
    let key = |error: &TrustError| match error {
        TrustError::CaFile | TrustError::SystemRoots => "caFile",
        TrustError::ClientCertificate => "clientCertFile",
    };
    let faults = Trust::check(&store.name, &files);
    faults.iter().map(|error| (format!("{section}/{}", key(error)), error.to_string())).collect()
}
