//! A cache of secrets, in front of any store. A cached secret needs no call, and concurrent requests for one path share one
//! call.
//!
//! Sealed secrets are cached for `ttl` and absences for `negativeTtl`; other errors are not cached. An expired secret is served
//! only while the store is unreachable; any response of the store replaces it. A secret that is read in about the last fifth of
//! its `ttl` is refreshed in the background. Dynamic secrets are not cached here: see `leases`.

mod entry;
pub(super) mod sealed;
mod secret_codec;

use super::port::{OpenError, ReadError, SecretStore};
use super::store_path::StorePath;
use crate::config::cache::Cache as CacheSettings;
use crate::flights::{Flight, SingleFlight};
use crate::metrics::Metrics;
use crate::metrics::labels::CacheOutcome;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use async_trait::async_trait;
use entry::{CacheEntry, FreshContent};
use sealed::SecretSealer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::time::Instant;

/// Upper bound of the configured times. moka does not accept more than a thousand years.
const MAX_CACHE_TIME: Duration = Duration::from_hours(24 * 365);

type ReadResult = Result<Arc<Secret>, ReadError>;

/// The result of a look-up.
#[derive(Clone)]
pub(super) enum CacheLookup {
    /// The path has a static secret, or none.
    Static(ReadResult),
    /// The path creates a dynamic secret.
    Dynamic,
}

/// The result of a read, and whether the secret was in the cache.
type FinishedRead = (CacheLookup, CacheOutcome);

/// A store with its cache.
pub(super) struct CachedStore {
    state: Arc<CacheState>,
    /// Reads under way.
    flights: Arc<SingleFlight<StorePath, FinishedRead>>,
}

/// State that the cache shares with its reading tasks.
struct CacheState {
    name: Arc<str>,
    store: Arc<dyn SecretStore>,
    settings: CacheSettings,
    sealer: SecretSealer,
    /// [`CacheEntry`] checks ages. moka, whose clock tests cannot pause, only limits how long memory is used.
    entries: moka::future::Cache<StorePath, Arc<CacheEntry>>,
    /// Number of evictions. A read that began before an eviction is not cached, because its value may be older. Locked for reading
    /// while a value is inserted, so that an eviction does not come between the comparison and the insertion.
    evictions: RwLock<u64>,
    metrics: Arc<Metrics>,
}

/// Removes absences after `negativeTtl`, so that requests for many missing paths use little of the capacity.
struct AbsenceExpiry(Duration);

impl AbsenceExpiry {
    fn time_to_live(&self, entry: &CacheEntry) -> Option<Duration> {
        (!entry.is_secret()).then_some(self.0)
    }
}

impl moka::Expiry<StorePath, Arc<CacheEntry>> for AbsenceExpiry {
    fn expire_after_create(&self, _: &StorePath, entry: &Arc<CacheEntry>, _: std::time::Instant) -> Option<Duration> {
        self.time_to_live(entry)
    }

    fn expire_after_update(
        &self,
        _: &StorePath,
        entry: &Arc<CacheEntry>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.time_to_live(entry)
    }
}

/// Why the store is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadReason {
    /// A caller waits for the secret.
    Miss,
    /// The cached secret expires soon.
    Refresh,
}

impl CachedStore {
    /// An empty cache before a store.
    ///
    /// # Errors
    /// When the operating system provides no random bytes for the key that secrets are sealed under.
    pub(super) fn new(
        name: &Arc<str>,
        store: Arc<dyn SecretStore>,
        settings: CacheSettings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let sealer = SecretSealer::new().map_err(|_| OpenError::Randomness)?;
        let max_time = settings.ttl.saturating_add(settings.serve_stale_for).max(settings.negative_ttl);
        let (gauge, label) = (metrics.clone(), name.clone());
        let entries = moka::future::Cache::builder()
            .max_capacity(settings.max_entries)
            .weigher(|path: &StorePath, entry: &Arc<CacheEntry>| entry.weight(path))
            .time_to_live(max_time.min(MAX_CACHE_TIME))
            .expire_after(AbsenceExpiry(settings.negative_ttl))
            .eviction_listener(move |_, entry, _| {
                if entry.is_secret() {
                    gauge.decrement_active_leases(&label);
                }
            })
            .build();
        let (name, evictions, metrics) = (name.clone(), RwLock::new(0), metrics.clone());
        let state = CacheState { name, store, settings, sealer, entries, evictions, metrics };
        Ok(Self { state: Arc::new(state), flights: SingleFlight::new() })
    }

    /// Joins the running read of this path (then the flag is true), or starts one.
    fn start_or_join(
        &self,
        path: &StorePath,
        request_id: &RequestId,
        reason: ReadReason,
    ) -> (Flight<FinishedRead>, bool) {
        self.flights.run(path.clone(), || {
            let (state, path, request_id) = (self.state.clone(), path.clone(), request_id.clone());
            async move { state.fetch(&path, &request_id, reason).await }
        })
    }

    /// Removes a path from the cache. Callers that joined a read before this get its result, later callers do not.
    pub(super) async fn evict(&self, path: &StorePath) {
        self.forget_reads(Some(path)).await;
        self.state.entries.invalidate(path).await;
    }

    /// Lets no later caller get the result of a read in progress, of one path or of all paths.
    pub(super) async fn forget_reads(&self, path: Option<&StorePath>) {
        *self.state.evictions.write().await += 1;
        match path {
            Some(path) => self.flights.forget(path),
            None => self.flights.forget_all(),
        }
    }

    /// Calls `visit` with the path, the time of the read and the `ttl` of each secret that may be served.
    pub(super) fn for_each_secret(&self, mut visit: impl FnMut(&StorePath, Instant, Duration)) {
        let settings = &self.state.settings;
        for (path, entry) in &self.state.entries {
            if let Some(read_at) = entry.servable_since(settings) {
                visit(&path, read_at, settings.ttl);
            }
        }
    }

    /// Looks a path up in the cache, then reads it from the store.
    pub(super) async fn look_up(&self, path: &StorePath, request_id: &RequestId) -> CacheLookup {
        let (result, outcome) = if let Some((result, due)) = self.state.get_fresh(path).await {
            if due {
                // No caller waits for the refresh. If it fails, the cached secret stays until it expires.
                let _refresh = self.start_or_join(path, request_id, ReadReason::Refresh);
            }
            (result, CacheOutcome::Hit)
        } else {
            let (flight, joined) = self.start_or_join(path, request_id, ReadReason::Miss);
            let panicked = (CacheLookup::Static(Err(ReadError::Unavailable)), CacheOutcome::Miss);
            let (lookup, outcome) = flight.await.unwrap_or(panicked);
            let CacheLookup::Static(result) = lookup else { return lookup };
            (result, if joined { CacheOutcome::Coalesced } else { outcome })
        };
        let stale = result.as_ref().is_ok_and(|secret| secret.stale);
        self.state.metrics.count_cache_request(&self.state.name, if stale { CacheOutcome::Stale } else { outcome });
        CacheLookup::Static(result)
    }
}

#[async_trait]
impl SecretStore for CachedStore {
    async fn read(&self, path: &StorePath, request_id: &RequestId) -> ReadResult {
        match self.look_up(path, request_id).await {
            CacheLookup::Static(result) => result,
            CacheLookup::Dynamic => Err(ReadError::Misconfigured),
        }
    }
}

impl CacheState {
    /// The cached result if it is fresh, and whether to refresh it.
    async fn get_fresh(&self, path: &StorePath) -> Option<(ReadResult, bool)> {
        let entry = self.entries.get(path).await?;
        Some(match entry.fresh_content(&self.sealer, path, &self.settings)? {
            FreshContent::Secret(secret, due) => (Ok(Arc::new(secret)), due),
            FreshContent::Absent => (Err(ReadError::Absent), false),
        })
    }

    async fn fetch(&self, path: &StorePath, request_id: &RequestId, reason: ReadReason) -> FinishedRead {
        // Another read may have ended after the look-up in the cache and before the start of this one.
        if reason == ReadReason::Miss
            && let Some((result, _)) = self.get_fresh(path).await
        {
            return (CacheLookup::Static(result), CacheOutcome::Hit);
        }
        // The age counts from the start of the call.
        let (read_at, evictions) = (Instant::now(), *self.evictions.read().await);
        let result = match self.store.is_dynamic(path, request_id).await {
            Ok(true) => {
                self.entries.invalidate(path).await;
                return (CacheLookup::Dynamic, CacheOutcome::Miss);
            }
            Ok(false) => self.store.read(path, request_id).await,
            Err(error) => Err(error),
        };
        let entry = match &result {
            Ok(secret) => CacheEntry::from_secret(&self.sealer, path, secret, read_at, &self.settings),
            Err(ReadError::Absent) => Some(CacheEntry::absence(read_at)),
            Err(
                ReadError::Deleted | ReadError::Forbidden | ReadError::Misconfigured | ReadError::EngineMismatch(_),
            ) => None,
            Err(ReadError::Unavailable) => {
                let stale = self.get_stale(path).await.ok_or(ReadError::Unavailable);
                return (CacheLookup::Static(stale), CacheOutcome::Miss);
            }
        };
        match entry {
            Some(entry) => self.store_entry(path, entry, evictions).await,
            None => self.entries.invalidate(path).await,
        }
        (CacheLookup::Static(result), CacheOutcome::Miss)
    }

    /// Caches the result of a read, unless there were evictions since its start, when there had been `evictions`.
    async fn store_entry(&self, path: &StorePath, entry: CacheEntry, evictions: u64) {
        let current = self.evictions.read().await;
        if *current != evictions {
            return;
        }
        if entry.is_secret() {
            self.metrics.increment_active_leases(&self.name);
        }
        self.entries.insert(path.clone(), Arc::new(entry)).await;
    }

    async fn get_stale(&self, path: &StorePath) -> Option<Arc<Secret>> {
        let entry = self.entries.get(path).await?;
        entry.stale_secret(&self.sealer, path, &self.settings).map(Arc::new)
    }
}

#[cfg(test)]
mod tests;
