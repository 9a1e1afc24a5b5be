//! The cache of facts, by the uid of a pod or run. Concurrent look-ups of one object are coalesced.

use super::error::AttestError;
use crate::flights::SingleFlight;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a fact is cached: a build asks for several tickets in a row, and changes must show soon.
pub const FACT_TTL: Duration = Duration::from_secs(5);
/// How long an absence is cached, permanent or not.
pub const ABSENCE_TTL: Duration = Duration::from_secs(1);
/// Maximum size of one cache. Annotations and params can be long.
const MAX_BYTES: u64 = 64 << 20;

/// The result of a look-up. Errors are not cached.
pub type LookupResult<V> = Result<CachedFact<V>, AttestError>;

/// A fact or its absence.
pub enum FactState<V> {
    /// The fact.
    There(Arc<V>),
    /// It does not exist yet.
    NotYet,
    /// It does not exist.
    Absent,
}

/// A fact or its absence, with its expiry.
pub struct CachedFact<V> {
    /// The fact.
    pub seen: FactState<V>,
    /// When the look-up began: the answer may be that old.
    began: Instant,
    /// By tokio's clock, which tests can advance. moka's own expiry only frees the memory.
    pub until: Instant,
}

impl<V> Clone for CachedFact<V> {
    fn clone(&self) -> Self {
        let seen = match &self.seen {
            FactState::There(fact) => FactState::There(fact.clone()),
            FactState::NotYet => FactState::NotYet,
            FactState::Absent => FactState::Absent,
        };
        Self { seen, began: self.began, until: self.until }
    }
}

impl<V> CachedFact<V> {
    /// The finding of a look-up that began at `began`.
    pub fn new(seen: FactState<V>, began: Instant) -> Self {
        let keep = if matches!(seen, FactState::There(_)) { FACT_TTL } else { ABSENCE_TTL };
        Self { seen, began, until: began + keep }
    }

    /// What follows from this finding about another object.
    pub const fn about<W>(&self, seen: FactState<W>) -> CachedFact<W> {
        CachedFact { seen, began: self.began, until: self.until }
    }

    /// The fact, if there is one.
    pub const fn fact(&self) -> Option<&Arc<V>> {
        if let FactState::There(fact) = &self.seen { Some(fact) } else { None }
    }

    /// The fact or its absence.
    ///
    /// # Errors
    /// `NotYet` if it does not exist yet.
    pub fn known(self) -> Result<Option<Arc<V>>, AttestError> {
        match self.seen {
            FactState::There(fact) => Ok(Some(fact)),
            FactState::NotYet => Err(AttestError::NotYet),
            FactState::Absent => Ok(None),
        }
    }
}

/// The cached findings of one kind, and the look-ups in flight.
pub struct Recent<V> {
    cached: Cache<String, CachedFact<V>>,
    flights: Arc<SingleFlight<String, LookupResult<V>>>,
}

impl<V: Send + Sync + 'static> Recent<V> {
    /// `bytes` is the approximate size of a fact.
    pub fn new(bytes: fn(&V) -> usize) -> Arc<Self> {
        /// A key, an entry, the maps in it.
        const OVERHEAD: usize = 512;
        let weigh = move |_: &String, finding: &CachedFact<V>| {
            let bytes = finding.fact().map_or(0, |fact| bytes(fact)).saturating_add(OVERHEAD);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let cached = Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).time_to_live(FACT_TTL).build();
        Arc::new(Self { cached, flights: SingleFlight::new() })
    }

    /// The cached finding about the object with this uid, or that of the look-up in flight, or that of a new look-up.
    pub async fn find<F, R>(self: &Arc<Self>, uid: &str, lookup: F) -> LookupResult<V>
    where
        F: FnOnce() -> R,
        R: Future<Output = LookupResult<V>> + Send + 'static,
    {
        self.find_from(uid, None, lookup).await
    }

    /// The same, but no cached finding whose look-up began before `from`.
    pub async fn find_from<F, R>(self: &Arc<Self>, uid: &str, from: Option<Instant>, lookup: F) -> LookupResult<V>
    where
        F: FnOnce() -> R,
        R: Future<Output = LookupResult<V>> + Send + 'static,
    {
        if let Some(finding) = self.cached(uid, from).await {
            return Ok(finding);
        }
        let flight = self.flights.join(uid.to_owned(), || {
            let (recent, uid, lookup) = (self.clone(), uid.to_owned(), lookup());
            async move {
                // Another look-up may have ended between the check and the start of this one.
                if let Some(finding) = recent.cached(&uid, from).await {
                    return Ok(finding);
                }
                let found = lookup.await;
                if let Ok(finding) = &found {
                    recent.cached.insert(uid, finding.clone()).await;
                }
                found
            }
        });
        flight.await.unwrap_or(Err(AttestError::Unavailable))
    }

    async fn cached(&self, uid: &str, from: Option<Instant>) -> Option<CachedFact<V>> {
        let is_good =
            |finding: &CachedFact<V>| Instant::now() < finding.until && from.is_none_or(|from| from <= finding.began);
        self.cached.get(uid).await.filter(is_good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::advance;

    /// Looks up the number of the call, or its absence.
    #[derive(Default)]
    struct Numbered(Arc<AtomicUsize>);

    impl Numbered {
        async fn find(&self, recent: &Arc<Recent<usize>>, uid: &str, there: bool) -> Option<usize> {
            let lookups = self.0.clone();
            let lookup = || async move {
                let number = lookups.fetch_add(1, Ordering::SeqCst);
                let seen = if there { FactState::There(Arc::new(number)) } else { FactState::Absent };
                Ok(CachedFact::new(seen, Instant::now()))
            };
            let finding = recent.find(uid, lookup).await.unwrap_or_else(|error| panic!("{error}"));
            finding.fact().map(|number| **number)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fact_is_believed_for_five_seconds_and_an_absence_for_one() {
        let (recent, numbered) = (Recent::new(|_| 0), Numbered::default());
        for (there, keep, [first, second]) in [
            (true, FACT_TTL, [Some(0), Some(1)]),
            (false, ABSENCE_TTL, [None, None]),
            (true, FACT_TTL, [Some(4), Some(5)]),
        ] {
            assert_eq!(numbered.find(&recent, "a", there).await, first);
            advance(keep.saturating_sub(Duration::from_millis(1))).await;
            assert_eq!(numbered.find(&recent, "a", there).await, first);
            advance(Duration::from_millis(1)).await;
            assert_eq!(numbered.find(&recent, "a", there).await, second);
            advance(keep).await;
        }
        assert_eq!(numbered.0.load(Ordering::SeqCst), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_yet_is_no_absence_and_believed_no_longer_than_one() {
        let recent = Recent::<usize>::new(|_| 0);
        let lookups = Arc::new(AtomicUsize::new(0));
        let ask = async || {
            let lookup = || {
                lookups.fetch_add(1, Ordering::SeqCst);
                async { Ok(CachedFact::new(FactState::NotYet, Instant::now())) }
            };
            recent.find("a", lookup).await.and_then(CachedFact::known)
        };
        assert_eq!(ask().await, Err(AttestError::NotYet));
        advance(ABSENCE_TTL.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(ask().await, Err(AttestError::NotYet));
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
        advance(Duration::from_millis(1)).await;
        assert_eq!(ask().await, Err(AttestError::NotYet));
        assert_eq!(lookups.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cached_finding_that_is_too_old_is_looked_up_again() {
        let recent = Recent::<usize>::new(|_| 0);
        let lookups = AtomicUsize::new(0);
        let ask = async |from| {
            let (number, began) = (lookups.fetch_add(1, Ordering::SeqCst), Instant::now());
            let lookup = || async move { Ok(CachedFact::new(FactState::There(Arc::new(number)), began)) };
            let finding = recent.find_from("a", from, lookup).await.ok();
            finding.and_then(|finding| finding.fact().map(|number| **number))
        };
        let first = Instant::now();
        assert_eq!(ask(None).await, Some(0));
        advance(Duration::from_millis(1)).await;
        assert_eq!(ask(Some(first)).await, Some(0));
        assert_eq!(ask(Some(Instant::now())).await, Some(2));
        assert_eq!(ask(None).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_pod_is_not_another() {
        let (recent, numbered) = (Recent::new(|_| 0), Numbered::default());
        assert_eq!(numbered.find(&recent, "a", true).await, Some(0));
        assert_eq!(numbered.find(&recent, "b", true).await, Some(1));
        assert_eq!(numbered.find(&recent, "a", true).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn not_knowing_is_not_kept() {
        let (recent, numbered) = (Recent::<usize>::new(|_| 0), Numbered::default());
        let found = recent.find("a", || async { Err(AttestError::Unavailable) }).await;
        assert_eq!(found.err(), Some(AttestError::Unavailable));
        let found = recent.find("a", || async { panic!("on purpose") }).await;
        assert_eq!(found.err(), Some(AttestError::Unavailable));
        assert_eq!(numbered.find(&recent, "a", true).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_by_its_length() {
        let (recent, numbered) = (Recent::new(|_| 16 << 20), Numbered::default());
        for uid in 0..100 {
            numbered.find(&recent, &uid.to_string(), true).await;
        }
        recent.cached.run_pending_tasks().await;
        assert!(recent.cached.weighted_size() <= MAX_BYTES, "{}", recent.cached.weighted_size());
        assert!(recent.cached.entry_count() > 0);
    }
}
