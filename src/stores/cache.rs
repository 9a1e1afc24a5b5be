//! The lease cache: decorates any store. A cached lease costs no call, and many requests for one path cost one.
//!
//! What is kept: leases and absences, each for its time. Never another error. A lease outlives its time only while
//! the store cannot be reached; a store that says anything at all is believed.

use super::path::StorePath;
use super::{ReadError, SecretStore};
use crate::config::stores::Cache as Bounds;
use crate::metrics::Metrics;
use crate::metrics::labels::CacheOutcome;
use crate::model::lease::Lease;
use crate::model::request_id::RequestId;
use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest that anything is held, whatever is configured; moka takes no more than a thousand years.
const MAX_HELD: Duration = Duration::from_hours(24 * 365);

type Answer = Result<Arc<Lease>, ReadError>;
/// A read of one path on its way, and whether it found the answer in the cache after all.
type Flight = Shared<BoxFuture<'static, (Answer, CacheOutcome)>>;

/// A store behind its cache.
pub(super) struct Cached {
    shelf: Arc<Shelf>,
}

/// What reads in tasks of their own share with the cache.
struct Shelf {
    name: Arc<str>,
    store: Arc<dyn SecretStore>,
    bounds: Bounds,
    /// Its own clock, which tests cannot pause, only bounds how long memory is held; [`Entry`] keeps the time.
    entries: moka::future::Cache<StorePath, Entry>,
    /// At most one read of a path at a time. Held for a map operation, never across an `.await`.
    flights: Mutex<HashMap<StorePath, Flight>>,
    metrics: Arc<Metrics>,
}

/// What the store said of a path, and when.
#[derive(Clone)]
struct Entry {
    /// A lease, `Absent` or `Deleted`.
    answer: Answer,
    read_at: Instant,
}

impl Cached {
    /// Puts a cache before a store.
    pub(super) fn new(name: &Arc<str>, store: Arc<dyn SecretStore>, bounds: Bounds, metrics: &Arc<Metrics>) -> Self {
        let longest = bounds.ttl.saturating_add(bounds.serve_stale_for).max(bounds.negative_ttl);
        let entries =
            moka::future::Cache::builder().max_capacity(bounds.max_entries).time_to_live(longest.min(MAX_HELD)).build();
        let flights = Mutex::default();
        let metrics = metrics.clone();
        Self { shelf: Arc::new(Shelf { name: name.clone(), store, bounds, entries, flights, metrics }) }
    }
}

#[async_trait]
impl SecretStore for Cached {
    async fn read(&self, path: &StorePath, request: &RequestId) -> Answer {
        let (answer, outcome) = if let Some(answer) = self.shelf.fresh(path).await {
            (answer, CacheOutcome::Hit)
        } else {
            let (flight, boarded) = self.shelf.board(path, request);
            let (answer, found) = flight.await;
            (answer, if boarded { CacheOutcome::Coalesced } else { found })
        };
        let stale = answer.as_ref().is_ok_and(|lease| lease.stale);
        self.shelf.metrics.cache_request(&self.shelf.name, if stale { CacheOutcome::Stale } else { outcome });
        answer
    }
}

impl Shelf {
    /// The answer, where it is kept and young enough.
    async fn fresh(&self, path: &StorePath) -> Option<Answer> {
        let entry = self.entries.get(path).await?;
        let keep = if entry.answer.is_ok() { self.bounds.ttl } else { self.bounds.negative_ttl };
        (entry.read_at.elapsed() < keep).then_some(entry.answer)
    }

    /// Joins the read of this path that is on its way (`true`), or starts one. It runs in a task of its own, so that
    /// whoever started it may hang up and fail nobody.
    fn board(self: &Arc<Self>, path: &StorePath, request: &RequestId) -> (Flight, bool) {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(path) {
            return (flight.clone(), true);
        }
        let landing = Landing { shelf: self.clone(), path: path.clone() };
        let request = request.clone();
        let task = tokio::spawn(async move { landing.shelf.fly(&landing.path, &request).await });
        let flight = task.map(|ended| ended.unwrap_or((Err(ReadError::Unavailable), CacheOutcome::Miss)));
        let flight = flight.boxed().shared();
        flights.insert(path.clone(), flight.clone());
        (flight, false)
    }

    async fn fly(&self, path: &StorePath, request: &RequestId) -> (Answer, CacheOutcome) {
        // Another flight may have landed between the look into the cache and the boarding of this one.
        if let Some(answer) = self.fresh(path).await {
            return (answer, CacheOutcome::Hit);
        }
        // Aged from before the call: the answer is at least that old.
        let read_at = Instant::now();
        let answer = self.store.read(path, request).await;
        match answer {
            Ok(_) | Err(ReadError::Absent | ReadError::Deleted) => {
                self.entries.insert(path.clone(), Entry { answer: answer.clone(), read_at }).await;
                (answer, CacheOutcome::Miss)
            }
            Err(ReadError::Forbidden | ReadError::Misconfigured) => {
                self.entries.invalidate(path).await;
                (answer, CacheOutcome::Miss)
            }
            Err(ReadError::Unavailable) => (self.stale(path).await.ok_or(ReadError::Unavailable), CacheOutcome::Miss),
        }
    }

    /// The last lease, marked stale, where it is within its bound. An old absence is never served: it may be over.
    async fn stale(&self, path: &StorePath) -> Option<Arc<Lease>> {
        let entry = self.entries.get(path).await?;
        let lease = entry.answer.ok()?;
        let bound = self.bounds.ttl.saturating_add(self.bounds.serve_stale_for);
        (entry.read_at.elapsed() < bound).then(|| Arc::new(Lease { stale: true, ..Lease::clone(&lease) }))
    }

    /// A panic while the map was held leaves it whole: every operation on it is a single call.
    fn flights(&self) -> MutexGuard<'_, HashMap<StorePath, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the board when it ends, however it ends.
struct Landing {
    shelf: Arc<Shelf>,
    path: StorePath,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shelf.flights().remove(&self.path);
    }
}

#[cfg(test)]
mod tests;
