//! A cache of what the API server says about pods and their Tekton runs (facts). The key is the uid of a pod, or the claimed
//! version, namespace, name and uid of a run. Concurrent look-ups of one key are coalesced.

use super::error::AttestError;
use crate::flights::SingleFlight;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a fact is cached. A build requests several tickets in a row, and a change must take effect soon.
pub const FACT_TTL: Duration = Duration::from_secs(5);
/// How long it is cached that a fact does not exist, or does not exist yet.
pub const ABSENCE_TTL: Duration = Duration::from_secs(1);
/// Maximum size of one cache. Annotations and params can be long.
const MAX_BYTES: u64 = 64 << 20;

/// The result of a look-up. Errors are not cached.
pub type LookupResult<V> = Result<CachedFact<V>, AttestError>;

/// A fact or its absence.
pub enum FactState<V> {
    Present(Arc<V>),
    /// The fact does not exist yet: Tekton has not written it.
    NotYet,
    /// The fact does not exist.
    Absent,
}

/// A fact or its absence, with its expiry.
pub struct CachedFact<V> {
    pub state: FactState<V>,
    /// When the look-up started. The state is at least as new.
    started_at: Instant,
    /// By tokio's clock, which tests can advance. moka's own expiry only frees the memory.
    pub expires_at: Instant,
}

impl<V> Clone for CachedFact<V> {
    fn clone(&self) -> Self {
        let state = match &self.state {
            FactState::Present(fact) => FactState::Present(fact.clone()),
            FactState::NotYet => FactState::NotYet,
            FactState::Absent => FactState::Absent,
        };
        Self { state, started_at: self.started_at, expires_at: self.expires_at }
    }
}

impl<V> CachedFact<V> {
    /// The result of a look-up that started at `started_at`.
    pub fn new(state: FactState<V>, started_at: Instant) -> Self {
        let ttl = if matches!(state, FactState::Present(_)) { FACT_TTL } else { ABSENCE_TTL };
        Self { state, started_at, expires_at: started_at + ttl }
    }

    /// A cached fact of another kind, whose state was derived from this one. It has the same age and expiry.
    pub const fn with_state<W>(&self, state: FactState<W>) -> CachedFact<W> {
        CachedFact { state, started_at: self.started_at, expires_at: self.expires_at }
    }

    /// Whether the look-up started before this time. False without a time.
    fn is_older_than(&self, not_before: Option<Instant>) -> bool {
        not_before.is_some_and(|not_before| self.started_at < not_before)
    }

    /// The fact. `None` if it does not exist, or not yet.
    pub const fn fact(&self) -> Option<&Arc<V>> {
        if let FactState::Present(fact) = &self.state { Some(fact) } else { None }
    }

    /// The fact. `None` if it does not exist.
    ///
    /// # Errors
    /// `NotYet` if it does not exist yet.
    pub fn into_result(self) -> Result<Option<Arc<V>>, AttestError> {
        match self.state {
            FactState::Present(fact) => Ok(Some(fact)),
            FactState::NotYet => Err(AttestError::NotYet),
            FactState::Absent => Ok(None),
        }
    }
}

/// The cached facts of one kind, and the look-ups in flight.
pub struct FactCache<V> {
    entries: Cache<String, CachedFact<V>>,
    flights: Arc<SingleFlight<String, LookupResult<V>>>,
}

impl<V: Send + Sync + 'static> FactCache<V> {
    /// `bytes` returns the approximate size of a fact.
    pub fn new(bytes: fn(&V) -> usize) -> Arc<Self> {
        /// Approximate size of a key, of an entry, and of the maps of a fact even if they are empty. `bytes` adds their content.
        const OVERHEAD_BYTES: usize = 512;
        let weigh = move |_: &String, cached: &CachedFact<V>| {
            let bytes = cached.fact().map_or(0, |fact| bytes(fact)).saturating_add(OVERHEAD_BYTES);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).time_to_live(FACT_TTL).build();
        Arc::new(Self { entries, flights: SingleFlight::new() })
    }

    /// The cached fact of this key, or the result of the look-up in flight, or of a new look-up.
    pub async fn find<F, R>(self: &Arc<Self>, key: &str, lookup: F) -> LookupResult<V>
    where
        F: Fn() -> R,
        R: Future<Output = LookupResult<V>> + Send + 'static,
    {
        self.find_not_before(key, None, lookup).await
    }

    /// Like [`Self::find`], but does not use a look-up that started before `not_before`, whether its fact is cached or it is in
    /// flight. `None` means any time; a time must not be in the future.
    pub async fn find_not_before<F, R>(
        self: &Arc<Self>,
        key: &str,
        not_before: Option<Instant>,
        lookup: F,
    ) -> LookupResult<V>
    where
        F: Fn() -> R,
        R: Future<Output = LookupResult<V>> + Send + 'static,
    {
        loop {
            if let Some(cached) = self.get(key, not_before).await {
                return Ok(cached);
            }
            let (flight, was_in_flight) = self.flights.run(key.to_owned(), || {
                let (cache, key, lookup) = (self.clone(), key.to_owned(), lookup());
                async move {
                    // Another look-up may have ended between the check of the cache and the start of this one.
                    if let Some(cached) = cache.get(&key, not_before).await {
                        return Ok(cached);
                    }
                    let result = lookup.await;
                    if let Ok(fact) = &result {
                        cache.entries.insert(key, fact.clone()).await;
                    }
                    result
                }
            });
            let result = flight.await.unwrap_or(Err(AttestError::Unavailable));
            // Seldom more than once: the next flight may still return a fact that the first one has cached.
            if was_in_flight && result.as_ref().is_ok_and(|cached| cached.is_older_than(not_before)) {
                continue;
            }
            return result;
        }
    }

    async fn get(&self, key: &str, not_before: Option<Instant>) -> Option<CachedFact<V>> {
        let is_usable =
            |cached: &CachedFact<V>| Instant::now() < cached.expires_at && !cached.is_older_than(not_before);
        self.entries.get(key).await.filter(is_usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::{advance, sleep};

    /// Counts look-ups. Each look-up finds its own number as the fact.
    #[derive(Default)]
    struct LookupCounter(Arc<AtomicUsize>);

    impl LookupCounter {
        async fn find(&self, cache: &Arc<FactCache<usize>>, uid: &str, is_present: bool) -> Option<usize> {
            let lookups = self.0.clone();
            let lookup = || {
                let number = lookups.fetch_add(1, Ordering::SeqCst);
                let state = if is_present { FactState::Present(Arc::new(number)) } else { FactState::Absent };
                async move { Ok(CachedFact::new(state, Instant::now())) }
            };
            let cached = cache.find(uid, lookup).await.unwrap_or_else(|error| panic!("{error}"));
            cached.fact().map(|number| **number)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fact_is_cached_for_five_seconds_and_an_absence_for_one() {
        let (cache, counter) = (FactCache::new(|_| 0), LookupCounter::default());
        for (is_present, ttl, [first, second]) in [
            (true, FACT_TTL, [Some(0), Some(1)]),
            (false, ABSENCE_TTL, [None, None]),
            (true, FACT_TTL, [Some(4), Some(5)]),
        ] {
            assert_eq!(counter.find(&cache, "a", is_present).await, first);
            advance(ttl.saturating_sub(Duration::from_millis(1))).await;
            assert_eq!(counter.find(&cache, "a", is_present).await, first);
            advance(Duration::from_millis(1)).await;
            assert_eq!(counter.find(&cache, "a", is_present).await, second);
            advance(ttl).await;
        }
        assert_eq!(counter.0.load(Ordering::SeqCst), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fact_that_does_not_exist_yet_is_an_error_that_is_cached_for_one_second() {
        let cache = FactCache::<usize>::new(|_| 0);
        let lookups = Arc::new(AtomicUsize::new(0));
        let find = async || {
            let lookup = || {
                lookups.fetch_add(1, Ordering::SeqCst);
                async { Ok(CachedFact::new(FactState::NotYet, Instant::now())) }
            };
            cache.find("a", lookup).await.and_then(CachedFact::into_result)
        };
        assert_eq!(find().await, Err(AttestError::NotYet));
        advance(ABSENCE_TTL.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(find().await, Err(AttestError::NotYet));
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
        advance(Duration::from_millis(1)).await;
        assert_eq!(find().await, Err(AttestError::NotYet));
        assert_eq!(lookups.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cached_fact_that_is_too_old_is_looked_up_again() {
        let cache = FactCache::<usize>::new(|_| 0);
        let calls = AtomicUsize::new(0);
        let find = async |not_before| {
            let (number, started_at) = (calls.fetch_add(1, Ordering::SeqCst), Instant::now());
            let lookup = || async move { Ok(CachedFact::new(FactState::Present(Arc::new(number)), started_at)) };
            let cached = cache.find_not_before("a", not_before, lookup).await.ok();
            cached.and_then(|cached| cached.fact().map(|number| **number))
        };
        let first = Instant::now();
        assert_eq!(find(None).await, Some(0));
        advance(Duration::from_millis(1)).await;
        assert_eq!(find(Some(first)).await, Some(0));
        assert_eq!(find(Some(Instant::now())).await, Some(2));
        assert_eq!(find(None).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_in_flight_that_started_too_early_is_followed_by_another() {
        let cache = FactCache::<usize>::new(|_| 0);
        let lookups = Arc::new(AtomicUsize::new(0));
        let find = |not_before| {
            let (cache, lookups) = (cache.clone(), lookups.clone());
            let lookup = move || {
                let lookups = lookups.clone();
                async move {
                    let (number, started_at) = (lookups.fetch_add(1, Ordering::SeqCst), Instant::now());
                    sleep(Duration::from_millis(10)).await;
                    Ok(CachedFact::new(FactState::Present(Arc::new(number)), started_at))
                }
            };
            tokio::spawn(async move {
                let cached = cache.find_not_before("a", not_before, lookup).await.ok();
                cached.and_then(|cached| cached.fact().map(|number| **number))
            })
        };
        let early = find(None);
        sleep(Duration::from_millis(5)).await;
        let (any, late) = (find(None), find(Some(Instant::now())));
        assert_eq!(early.await.ok().flatten(), Some(0));
        assert_eq!(any.await.ok().flatten(), Some(0), "it joins the look-up in flight");
        assert_eq!(late.await.ok().flatten(), Some(1));
        assert_eq!(lookups.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn facts_of_different_keys_are_cached_separately() {
        let (cache, counter) = (FactCache::new(|_| 0), LookupCounter::default());
        assert_eq!(counter.find(&cache, "a", true).await, Some(0));
        assert_eq!(counter.find(&cache, "b", true).await, Some(1));
        assert_eq!(counter.find(&cache, "a", true).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_lookups_are_not_cached() {
        let (cache, counter) = (FactCache::<usize>::new(|_| 0), LookupCounter::default());
        let found = cache.find("a", || async { Err(AttestError::Unavailable) }).await;
        assert_eq!(found.err(), Some(AttestError::Unavailable));
        let found = cache.find("a", || async { panic!("on purpose") }).await;
        assert_eq!(found.err(), Some(AttestError::Unavailable));
        assert_eq!(counter.find(&cache, "a", true).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_size_of_the_cache_is_bounded() {
        let (cache, counter) = (FactCache::new(|_| 16 << 20), LookupCounter::default());
        for uid in 0..100 {
            counter.find(&cache, &uid.to_string(), true).await;
        }
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.weighted_size() <= MAX_BYTES, "{}", cache.entries.weighted_size());
        assert!(cache.entries.entry_count() > 0);
    }
}
