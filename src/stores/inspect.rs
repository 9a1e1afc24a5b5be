//! For `claviger doctor`: permissions on paths, and clocks. For `claviger check`: the files of file stores.

use super::file::FileStore;
use super::port::ReadError;
use super::registry::{Backend, StoreOpenError, Stores};
use super::store_path::StorePath;
use crate::config::stores::{Kind, Store};
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
    /// Reads the files of file stores, and returns the errors of those that cannot be used.
    #[must_use]
    pub fn check_files(configured: &[Store]) -> Vec<StoreOpenError> {
        let check = |store: &Store| match &store.kind {
            Kind::File(file) => FileStore::check(file).err(),
            _ => None,
        };
        configured
            .iter()
            .filter_map(|store| Some(StoreOpenError { store: store.name.clone(), error: check(store)? }))
            .collect()
    }

    /// Whether the broker may read each path of a store, or write to the path if its flag is true. `None` if the store is not a
    /// Vault store.
    pub async fn may_use(&self, store: &str, paths: &[(String, bool)]) -> Option<Vec<Result<bool, ReadError>>> {
        let Backend::Vault(vault, _) = &self.by_name.get(store)?.backend else { return None };
        let checked = paths.iter().map(|(path, writes)| Some((StorePath::try_from(path.as_str()).ok()?, *writes)));
        let Some(checked) = checked.collect::<Option<Vec<_>>>() else {
            return Some(paths.iter().map(|_| Err(ReadError::Misconfigured)).collect());
        };
        Some(vault.may_use(&checked).await)
    }

    /// Reads the clock of a store. `None` if the store reports no time.
    pub async fn server_time_of(&self, store: &str) -> Option<StoreTime> {
        let Backend::Vault(vault, _) = &self.by_name.get(store)?.backend else { return None };
        let began = Instant::now();
        let seconds = vault.server_time().await?;
        Some(StoreTime { seconds, round_trip: began.elapsed() })
    }
}
