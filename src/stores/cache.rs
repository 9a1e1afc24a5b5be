//! The lease cache: decorates any store. A cached lease costs no call, and many requests for one path cost one.
//!
//! What is kept: leases, sealed, and absences, each for its time. Never another error. A lease outlives its time only
//! while the store cannot be reached; a store that says anything at all is believed. A lease that is asked for near the
//! end of its time is read again in the background, so that nobody waits for it. What a store makes on request is not
//! kept here: see `leases`.

mod entry;
mod lease_codec;
pub(super) mod sealed;

use super::path::StorePath;
use super::port::{OpenFault, ReadError, SecretStore};
use crate::config::cache::Cache as Bounds;
use crate::flights::{Flight, Flights};
use crate::metrics::Metrics;
use crate::metrics::labels::CacheOutcome;
use crate::model::lease::Lease;
use crate::model::request_id::RequestId;
use async_trait::async_trait;
use entry::{Entry, Offer};
use sealed::Sealer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that anything is held, whatever is configured; moka takes no more than a thousand years.
const MAX_HELD: Duration = Duration::from_hours(24 * 365);

type Answer = Result<Arc<Lease>, ReadError>;

/// What there is at a path.
#[derive(Clone)]
pub(super) enum Found {
    /// What the store keeps there.
    Kept(Answer),
    /// Something that the store makes on request.
    Made,
}

/// What came of a read, and whether it found the answer in the cache after all.
type Landed = (Found, CacheOutcome);

/// A store behind its cache.
pub(super) struct Cached {
    shelf: Arc<Shelf>,
    /// Reads on their way.
    flights: Arc<Flights<StorePath, Landed>>,
}

/// What reads in tasks of their own share with the cache.
struct Shelf {
    name: Arc<str>,
    store: Arc<dyn SecretStore>,
    bounds: Bounds,
    sealer: Sealer,
    /// Its own clock, which tests cannot pause, only bounds how long memory is held; [`Entry`] keeps the time.
    entries: moka::future::Cache<StorePath, Arc<Entry>>,
    metrics: Arc<Metrics>,
}

/// Absences are dropped at the end of their time: whoever asks for many names that do not exist takes little room from
/// what others read.
struct AbsencesEnd(Duration);

impl AbsencesEnd {
    fn end(&self, entry: &Entry) -> Option<Duration> {
        (!entry.is_lease()).then_some(self.0)
    }
}

impl moka::Expiry<StorePath, Arc<Entry>> for AbsencesEnd {
    fn expire_after_create(&self, _: &StorePath, entry: &Arc<Entry>, _: std::time::Instant) -> Option<Duration> {
        self.end(entry)
    }

    fn expire_after_update(
        &self,
        _: &StorePath,
        entry: &Arc<Entry>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.end(entry)
    }
}

/// Why a path is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// Somebody waits for it.
    Missing,
    /// What there is will soon be too old.
    Ageing,
}

impl Cached {
    /// Puts a cache before a store.
    ///
    /// # Errors
    /// When the operating system gives no random bytes for the key that leases are sealed under.
    pub(super) fn new(
        name: &Arc<str>,
        store: Arc<dyn SecretStore>,
        bounds: Bounds,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenFault> {
        let sealer = Sealer::new().map_err(|_| OpenFault::Randomness)?;
        let longest = bounds.ttl.saturating_add(bounds.serve_stale_for).max(bounds.negative_ttl);
        let (gauge, label) = (metrics.clone(), name.clone());
        let entries = moka::future::Cache::builder()
            .max_capacity(bounds.max_entries)
            .weigher(|path: &StorePath, entry: &Arc<Entry>| entry.shares(path))
            .time_to_live(longest.min(MAX_HELD))
            .expire_after(AbsencesEnd(bounds.negative_ttl))
            .eviction_listener(move |_, entry, _| {
                if entry.is_lease() {
                    gauge.lease_dropped(&label);
                }
            })
            .build();
        let shelf = Shelf { name: name.clone(), store, bounds, sealer, entries, metrics: metrics.clone() };
        Ok(Self { shelf: Arc::new(shelf), flights: Flights::new() })
    }

    /// Joins the read of this path that is on its way (`true`), or starts one.
    fn board(&self, path: &StorePath, request: &RequestId, errand: Errand) -> (Flight<Landed>, bool) {
        self.flights.board(path.clone(), || {
            let (shelf, path, request) = (self.shelf.clone(), path.clone(), request.clone());
            async move { shelf.fetch(&path, &request, errand).await }
        })
    }

    /// Drops what is kept of a path.
    pub(super) async fn evict(&self, path: &StorePath) {
        self.shelf.entries.invalidate(path).await;
    }

    /// Every lease that might be served, with when it was read and for how long it is fresh from then.
    pub(super) fn for_each_lease(&self, mut act: impl FnMut(&StorePath, Instant, Duration)) {
        let bounds = &self.shelf.bounds;
        for (path, entry) in &self.shelf.entries {
            if let Some(read_at) = entry.servable_since(bounds) {
                act(&path, read_at, bounds.ttl);
            }
        }
    }

    /// Looks what there is at a path: in the cache, or at the store.
    pub(super) async fn look(&self, path: &StorePath, request: &RequestId) -> Found {
        let (answer, outcome) = if let Some((answer, due)) = self.shelf.fresh(path).await {
            if due {
                // Nobody waits for it. If it fails, everything stays as it is until the lease's time is over.
                let _in_the_background = self.board(path, request, Errand::Ageing);
            }
            (answer, CacheOutcome::Hit)
        } else {
            let (flight, boarded) = self.board(path, request, Errand::Missing);
            let lost = (Found::Kept(Err(ReadError::Unavailable)), CacheOutcome::Miss);
            let (found, outcome) = flight.await.unwrap_or(lost);
            let Found::Kept(answer) = found else { return found };
            (answer, if boarded { CacheOutcome::Coalesced } else { outcome })
        };
        let stale = answer.as_ref().is_ok_and(|lease| lease.stale);
        self.shelf.metrics.cache_request(&self.shelf.name, if stale { CacheOutcome::Stale } else { outcome });
        Found::Kept(answer)
    }
}

#[async_trait]
impl SecretStore for Cached {
    async fn read(&self, path: &StorePath, request: &RequestId) -> Answer {
        match self.look(path, request).await {
            Found::Kept(answer) => answer,
            Found::Made => Err(ReadError::Misconfigured),
        }
    }
}

impl Shelf {
    /// The answer, where it is kept and young enough, and whether it is time to read it again.
    async fn fresh(&self, path: &StorePath) -> Option<(Answer, bool)> {
        let entry = self.entries.get(path).await?;
        Some(match entry.fresh(&self.sealer, path, &self.bounds)? {
            Offer::Lease(lease, due) => (Ok(Arc::new(lease)), due),
            Offer::Absent => (Err(ReadError::Absent), false),
        })
    }

    async fn fetch(&self, path: &StorePath, request: &RequestId, errand: Errand) -> Landed {
        // Another flight may have landed between the look into the cache and the boarding of this one.
        if errand == Errand::Missing
            && let Some((answer, _)) = self.fresh(path).await
        {
            return (Found::Kept(answer), CacheOutcome::Hit);
        }
        // Aged from before the call: the answer is at least that old.
        let read_at = Instant::now();
        let answer = match self.store.is_dynamic(path, request).await {
            Ok(true) => {
                self.entries.invalidate(path).await;
                return (Found::Made, CacheOutcome::Miss);
            }
            Ok(false) => self.store.read(path, request).await,
            Err(error) => Err(error),
        };
        let kept = match &answer {
            Ok(lease) => Entry::of_lease(&self.sealer, path, lease, read_at, &self.bounds),
            Err(ReadError::Absent) => Some(Entry::of_absence(read_at)),
            Err(ReadError::Deleted | ReadError::Forbidden | ReadError::Misconfigured | ReadError::Unsuitable(_)) => {
                None
            }
            Err(ReadError::Unavailable) => {
                let stale = self.stale(path).await.ok_or(ReadError::Unavailable);
                return (Found::Kept(stale), CacheOutcome::Miss);
            }
        };
        match kept {
            Some(entry) => self.keep(path, entry).await,
            None => self.entries.invalidate(path).await,
        }
        (Found::Kept(answer), CacheOutcome::Miss)
    }

    async fn keep(&self, path: &StorePath, entry: Entry) {
        if entry.is_lease() {
            self.metrics.lease_held(&self.name);
        }
        self.entries.insert(path.clone(), Arc::new(entry)).await;
    }

    async fn stale(&self, path: &StorePath) -> Option<Arc<Lease>> {
        let entry = self.entries.get(path).await?;
        entry.stale(&self.sealer, path, &self.bounds).map(Arc::new)
    }
}

#[cfg(test)]
mod tests;
