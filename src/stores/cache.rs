//! The secret cache, in front of any store. A cached secret needs no call, and concurrent requests for one path share one.
//!
//! It keeps sealed secrets for `ttl` and absences for `negativeTtl`, and no other error. An expired secret is served only
//! while the store is unreachable; any response of the store replaces it. A secret that is read in the last fifth of its
//! `ttl` is refreshed in the background, so no caller waits for that. Dynamic secrets are not cached here: see `leases`.

mod entry;
pub(super) mod sealed;
mod secret_codec;

use super::path::StorePath;
use super::port::{OpenError, ReadError, SecretStore};
use crate::config::cache::Cache as Bounds;
use crate::flights::{Flight, SingleFlight};
use crate::metrics::Metrics;
use crate::metrics::labels::CacheOutcome;
use crate::model::request_id::RequestId;
use crate::model::secret::Secret;
use async_trait::async_trait;
use entry::{CacheEntry, FreshContent};
use sealed::Sealer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Upper bound of the configured times. moka refuses more than a thousand years.
const MAX_CACHE_TIME: Duration = Duration::from_hours(24 * 365);

type ReadResult = Result<Arc<Secret>, ReadError>;

/// The result of a look-up.
#[derive(Clone)]
pub(super) enum CacheLookup {
    /// The path holds a stored secret, or none.
    Stored(ReadResult),
    /// The path creates a dynamic secret.
    Dynamic,
}

/// The result of a read, and whether it was in the cache.
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
    bounds: Bounds,
    sealer: Sealer,
    /// moka's own clock, which tests cannot pause, only bounds how long memory is held; [`CacheEntry`] checks ages.
    entries: moka::future::Cache<StorePath, Arc<CacheEntry>>,
    metrics: Arc<Metrics>,
}

/// Drops absences after `negativeTtl`, so that requests for many missing names use little of the capacity.
struct AbsenceExpiry(Duration);

impl AbsenceExpiry {
    fn end(&self, entry: &CacheEntry) -> Option<Duration> {
        (!entry.is_secret()).then_some(self.0)
    }
}

impl moka::Expiry<StorePath, Arc<CacheEntry>> for AbsenceExpiry {
    fn expire_after_create(&self, _: &StorePath, entry: &Arc<CacheEntry>, _: std::time::Instant) -> Option<Duration> {
        self.end(entry)
    }

    fn expire_after_update(
        &self,
        _: &StorePath,
        entry: &Arc<CacheEntry>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.end(entry)
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
    /// When the operating system gives no random bytes for the key that secrets are sealed under.
    pub(super) fn new(
        name: &Arc<str>,
        store: Arc<dyn SecretStore>,
        bounds: Bounds,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let sealer = Sealer::new().map_err(|_| OpenError::Randomness)?;
        let longest = bounds.ttl.saturating_add(bounds.serve_stale_for).max(bounds.negative_ttl);
        let (gauge, label) = (metrics.clone(), name.clone());
        let entries = moka::future::Cache::builder()
            .max_capacity(bounds.max_entries)
            .weigher(|path: &StorePath, entry: &Arc<CacheEntry>| entry.shares(path))
            .time_to_live(longest.min(MAX_CACHE_TIME))
            .expire_after(AbsenceExpiry(bounds.negative_ttl))
            .eviction_listener(move |_, entry, _| {
                if entry.is_secret() {
                    gauge.decrement_active_leases(&label);
                }
            })
            .build();
        let state = CacheState { name: name.clone(), store, bounds, sealer, entries, metrics: metrics.clone() };
        Ok(Self { state: Arc::new(state), flights: SingleFlight::new() })
    }

    /// Joins the read of this path that is under way (`true`), or starts one.
    fn run(&self, path: &StorePath, request: &RequestId, reason: ReadReason) -> (Flight<FinishedRead>, bool) {
        self.flights.run(path.clone(), || {
            let (state, path, request) = (self.state.clone(), path.clone(), request.clone());
            async move { state.fetch(&path, &request, reason).await }
        })
    }

    /// Removes a path from the cache.
    pub(super) async fn evict(&self, path: &StorePath) {
        self.state.entries.invalidate(path).await;
    }

    /// Calls `act` with the path, the time of the read and the `ttl` of each secret that may be served.
    pub(super) fn for_each_secret(&self, mut act: impl FnMut(&StorePath, Instant, Duration)) {
        let bounds = &self.state.bounds;
        for (path, entry) in &self.state.entries {
            if let Some(read_at) = entry.servable_since(bounds) {
                act(&path, read_at, bounds.ttl);
            }
        }
    }

    /// Looks a path up in the cache, then reads it from the store.
    pub(super) async fn look_up(&self, path: &StorePath, request: &RequestId) -> CacheLookup {
        let (result, outcome) = if let Some((result, due)) = self.state.get_fresh(path).await {
            if due {
                // No caller waits for it. If it fails, the cached secret stays until it expires.
                let _in_the_background = self.run(path, request, ReadReason::Refresh);
            }
            (result, CacheOutcome::Hit)
        } else {
            let (flight, joined) = self.run(path, request, ReadReason::Miss);
            let lost = (CacheLookup::Stored(Err(ReadError::Unavailable)), CacheOutcome::Miss);
            let (found, outcome) = flight.await.unwrap_or(lost);
            let CacheLookup::Stored(result) = found else { return found };
            (result, if joined { CacheOutcome::Coalesced } else { outcome })
        };
        let stale = result.as_ref().is_ok_and(|secret| secret.stale);
        self.state.metrics.count_cache_request(&self.state.name, if stale { CacheOutcome::Stale } else { outcome });
        CacheLookup::Stored(result)
    }
}

#[async_trait]
impl SecretStore for CachedStore {
    async fn read(&self, path: &StorePath, request: &RequestId) -> ReadResult {
        match self.look_up(path, request).await {
            CacheLookup::Stored(result) => result,
            CacheLookup::Dynamic => Err(ReadError::Misconfigured),
        }
    }
}

impl CacheState {
    /// The cached result if it is fresh, and whether to refresh it.
    async fn get_fresh(&self, path: &StorePath) -> Option<(ReadResult, bool)> {
        let entry = self.entries.get(path).await?;
        Some(match entry.fresh(&self.sealer, path, &self.bounds)? {
            FreshContent::Secret(secret, due) => (Ok(Arc::new(secret)), due),
            FreshContent::Absent => (Err(ReadError::Absent), false),
        })
    }

    async fn fetch(&self, path: &StorePath, request: &RequestId, reason: ReadReason) -> FinishedRead {
        // Another read may have ended between the look-up in the cache and the start of this one.
        if reason == ReadReason::Miss
            && let Some((result, _)) = self.get_fresh(path).await
        {
            return (CacheLookup::Stored(result), CacheOutcome::Hit);
        }
        // The age counts from before the call.
        let read_at = Instant::now();
        let result = match self.store.is_dynamic(path, request).await {
            Ok(true) => {
                self.entries.invalidate(path).await;
                return (CacheLookup::Dynamic, CacheOutcome::Miss);
            }
            Ok(false) => self.store.read(path, request).await,
            Err(error) => Err(error),
        };
        let kept = match &result {
            Ok(secret) => CacheEntry::from_secret(&self.sealer, path, secret, read_at, &self.bounds),
            Err(ReadError::Absent) => Some(CacheEntry::absence(read_at)),
            Err(ReadError::Deleted | ReadError::Forbidden | ReadError::Misconfigured | ReadError::Unsuitable(_)) => {
                None
            }
            Err(ReadError::Unavailable) => {
                let stale = self.get_stale(path).await.ok_or(ReadError::Unavailable);
                return (CacheLookup::Stored(stale), CacheOutcome::Miss);
            }
        };
        match kept {
            Some(entry) => self.store_entry(path, entry).await,
            None => self.entries.invalidate(path).await,
        }
        (CacheLookup::Stored(result), CacheOutcome::Miss)
    }

    async fn store_entry(&self, path: &StorePath, entry: CacheEntry) {
        if entry.is_secret() {
            self.metrics.increment_active_leases(&self.name);
        }
        self.entries.insert(path.clone(), Arc::new(entry)).await;
    }

    async fn get_stale(&self, path: &StorePath) -> Option<Arc<Secret>> {
        let entry = self.entries.get(path).await?;
        entry.stale(&self.sealer, path, &self.bounds).map(Arc::new)
    }
}

#[cfg(test)]
mod tests;
