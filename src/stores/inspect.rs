//! What a diagnosis asks of stores: rights on paths, clocks, and files without opening the store.

use super::file::FileStore;
use super::path::StorePath;
use super::port::ReadError;
use super::registry::{Backend, OpenError, Stores};
use crate::config::stores::{Kind, Store};
use std::time::{Duration, Instant};

/// A store's clock.
#[derive(Debug, Clone, Copy)]
pub struct StoreTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// The duration of the call.
    pub within: Duration,
}

impl Stores {
    /// Reads the files of file stores, and reports those that cannot be used.
    #[must_use]
    pub fn check_files(configured: &[Store]) -> Vec<OpenError> {
        let check = |store: &Store| match &store.kind {
            Kind::File(file) => FileStore::check(file).err(),
            _ => None,
        };
        configured
            .iter()
            .filter_map(|store| Some(OpenError { store: store.name.clone(), fault: check(store)? }))
            .collect()
    }

    /// For each path of a store, and whether it is written to, whether the broker may do that. None: the store has no way to ask.
    pub async fn may_use(&self, store: &str, paths: &[(String, bool)]) -> Option<Vec<Result<bool, ReadError>>> {
        let Backend::Vault(vault, _) = &self.by_name.get(store)?.backend else { return None };
        let checked = paths.iter().map(|(path, writes)| Some((StorePath::try_from(path.as_str()).ok()?, *writes)));
        let Some(checked) = checked.collect::<Option<Vec<_>>>() else {
            return Some(paths.iter().map(|_| Err(ReadError::Misconfigured)).collect());
        };
        Some(vault.may_use(&checked).await)
    }

    /// The clock of a store. None: it has none, or does not tell it.
    pub async fn time_of(&self, store: &str) -> Option<StoreTime> {
        let Backend::Vault(vault, _) = &self.by_name.get(store)?.backend else { return None };
        let began = Instant::now();
        let seconds = vault.server_time().await?;
        Some(StoreTime { seconds, within: began.elapsed() })
    }
}
