//! The cache of reviewed tokens, by fingerprint. Concurrent reviews of one token are coalesced.

use super::error::AuthnError;
use super::unverified_token::Fingerprint;
use crate::flights::SingleFlight;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of cached acceptances, and of cached refusals. They are in separate caches, so that forged tokens displace no
/// accepted ones.
const MAX_ENTRIES: u64 = 10_000;
/// Maximum number of fingerprints of tokens that were accepted before.
const MAX_ACCEPTED_BEFORE: u64 = 100_000;
/// How long a fingerprint counts as accepted before: the lifetime of a pod's token.
const ACCEPTED_BEFORE_TTL: Duration = Duration::from_hours(1);
/// How long a refusal is cached.
const REFUSAL_TTL: Duration = Duration::from_secs(1);

/// Upper bound of the configured cache time. A longer time is reduced to it.
const MAX_CACHE_TTL: Duration = Duration::from_hours(24);

/// The result of a review.
pub type ReviewResult<V> = Result<V, AuthnError>;

/// The cached results and the reviews in flight.
pub struct ReviewCache<V> {
    accepted: Cache<Fingerprint, CachedResult<V>>,
    refused: Cache<Fingerprint, CachedResult<V>>,
    accepted_before: Cache<Fingerprint, ()>,
    flights: Arc<SingleFlight<Fingerprint, ReviewResult<V>>>,
}

#[derive(Clone)]
struct CachedResult<V> {
    result: ReviewResult<V>,
    /// By tokio's clock, which tests can advance. moka's own expiry only frees the memory.
    expires_at: Instant,
}

impl<V: Clone + Send + Sync + 'static> ReviewCache<V> {
    /// An empty cache. `max_ttl` is the longest time for which an accepted token is cached.
    pub fn new(max_ttl: Duration) -> Self {
        let cache = |ttl: Duration| Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(ttl).build();
        let accepted_before =
            Cache::builder().max_capacity(MAX_ACCEPTED_BEFORE).time_to_live(ACCEPTED_BEFORE_TTL).build();
        Self {
            accepted: cache(max_ttl.min(MAX_CACHE_TTL)),
            refused: cache(REFUSAL_TTL),
            accepted_before,
            flights: SingleFlight::new(),
        }
    }

    /// Whether the token was accepted before and not refused since. The caller reviews such a token without entering `ReviewGate`.
    pub async fn was_accepted_before(&self, token: &Fingerprint) -> bool {
        self.accepted_before.get(token).await.is_some()
    }

    /// The cached result, or the result of the review in flight, or of a new review. An accepted token is cached for `ttl`,
    /// counting from the start of the review.
    pub async fn get_or_review<F, R>(self: &Arc<Self>, token: Fingerprint, ttl: Duration, review: F) -> ReviewResult<V>
    where
        F: FnOnce() -> R,
        R: Future<Output = ReviewResult<V>> + Send + 'static,
    {
        if let Some(result) = self.cached(&token).await {
            return result;
        }
        let flight = self.flights.join(token, || {
            let (cache, review) = (self.clone(), review());
            async move {
                // Another review may have ended between the look-up in the cache and the start of this one.
                if let Some(result) = cache.cached(&token).await {
                    return result;
                }
                let started_at = Instant::now();
                let result = review.await;
                cache.insert(token, &result, started_at + ttl.min(MAX_CACHE_TTL)).await;
                result
            }
        });
        flight.await.unwrap_or(Err(AuthnError::Unavailable))
    }

    /// The cached result, if it has not expired.
    pub async fn cached(&self, token: &Fingerprint) -> Option<ReviewResult<V>> {
        let cached = match self.accepted.get(token).await {
            Some(cached) => cached,
            None => self.refused.get(token).await?,
        };
        (Instant::now() < cached.expires_at).then_some(cached.result)
    }

    async fn insert(&self, token: Fingerprint, result: &ReviewResult<V>, acceptance_expires_at: Instant) {
        let now = Instant::now();
        match result {
            Ok(_) => self.accepted_before.insert(token, ()).await,
            Err(AuthnError::Refused(_) | AuthnError::NotPodBound(_)) => self.accepted_before.invalidate(&token).await,
            Err(AuthnError::Limited | AuthnError::UnknownKey | AuthnError::Unavailable) => {}
        }
        let result = result.clone();
        match result {
            Ok(_) if acceptance_expires_at > now => {
                self.accepted.insert(token, CachedResult { result, expires_at: acceptance_expires_at }).await;
            }
            Err(AuthnError::Refused(_) | AuthnError::NotPodBound(_)) => {
                // An older acceptance would otherwise take precedence over this refusal.
                self.accepted.invalidate(&token).await;
                self.refused.insert(token, CachedResult { result, expires_at: now + REFUSAL_TTL }).await;
            }
            Ok(_) | Err(AuthnError::Limited | AuthnError::UnknownKey | AuthnError::Unavailable) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::error::TokenRefusal;
    use crate::model::caller::Caller;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;
    use tokio::time::advance;

    const TOKEN: Fingerprint = [7; 32];
    const TTL: Duration = Duration::from_secs(10);
    const REFUSED: AuthnError = AuthnError::Refused(TokenRefusal::NotAuthenticated);

    fn caller() -> Arc<Caller> {
        Arc::new(Caller {
            issuer: "cluster".into(),
            subject: "s".into(),
            groups: Vec::new(),
            workload: None,
            unbound_account: None,
            claims: serde_json::Map::new(),
        })
    }

    /// A cache that counts its reviews.
    struct CountingCache {
        cache: Arc<ReviewCache<Arc<Caller>>>,
        reviews: Arc<AtomicUsize>,
    }

    impl CountingCache {
        fn new(max_ttl: Duration) -> Self {
            Self { cache: Arc::new(ReviewCache::new(max_ttl)), reviews: Arc::default() }
        }

        async fn get(&self, ttl: Duration, result: ReviewResult<Arc<Caller>>) -> ReviewResult<Arc<Caller>> {
            let reviews = self.reviews.clone();
            let review = || async move {
                reviews.fetch_add(1, Ordering::SeqCst);
                result
            };
            self.cache.get_or_review(TOKEN, ttl, review).await
        }

        fn reviews(&self) -> usize {
            self.reviews.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_accepted_token_is_cached_for_its_ttl() {
        let counting = CountingCache::new(TTL);
        assert!(counting.get(TTL, Ok(caller())).await.is_ok());
        advance(Duration::from_millis(9_999)).await;
        assert!(counting.get(TTL, Err(REFUSED)).await.is_ok());
        assert_eq!(counting.reviews(), 1);
        advance(Duration::from_millis(1)).await;
        assert_eq!(counting.get(TTL, Err(REFUSED)).await, Err(REFUSED));
        assert_eq!(counting.reviews(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_ttl_is_counted_from_the_start_of_the_review() {
        let cache = Arc::new(ReviewCache::new(TTL));
        let slow = || async {
            tokio::time::sleep(TTL).await;
            Ok(caller())
        };
        assert!(cache.get_or_review(TOKEN, TTL, slow).await.is_ok());
        assert_eq!(cache.get_or_review(TOKEN, TTL, || async { Err(REFUSED) }).await, Err(REFUSED));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ttl_of_zero_disables_the_cache() {
        let counting = CountingCache::new(Duration::ZERO);
        assert!(counting.get(Duration::ZERO, Ok(caller())).await.is_ok());
        assert_eq!(counting.get(Duration::ZERO, Err(REFUSED)).await, Err(REFUSED));
        assert_eq!(counting.reviews(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_counts_as_accepted_before_until_it_is_refused() {
        let counting = CountingCache::new(TTL);
        assert!(!counting.cache.was_accepted_before(&TOKEN).await);
        assert!(counting.get(TTL, Ok(caller())).await.is_ok());
        advance(TTL).await;
        for failure in [AuthnError::Unavailable, AuthnError::Limited] {
            assert_eq!(counting.get(TTL, Err(failure.clone())).await, Err(failure));
            assert!(counting.cache.was_accepted_before(&TOKEN).await);
        }
        assert_eq!(counting.get(TTL, Err(REFUSED)).await, Err(REFUSED));
        assert!(!counting.cache.was_accepted_before(&TOKEN).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ttl_above_the_maximum_is_cut() {
        let counting = CountingCache::new(Duration::MAX);
        assert!(counting.get(Duration::MAX, Ok(caller())).await.is_ok());
        assert!(counting.get(Duration::MAX, Err(REFUSED)).await.is_ok());
        advance(MAX_CACHE_TTL).await;
        assert_eq!(counting.get(Duration::MAX, Err(REFUSED)).await, Err(REFUSED));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_cached_for_a_second_and_a_failure_is_not_cached() {
        for refusal in [REFUSED, AuthnError::NotPodBound(caller()), AuthnError::Refused(TokenRefusal::PodGone)] {
            let counting = CountingCache::new(TTL);
            assert_eq!(counting.get(TTL, Err(refusal.clone())).await, Err(refusal.clone()));
            advance(Duration::from_millis(999)).await;
            assert_eq!(counting.get(TTL, Ok(caller())).await, Err(refusal));
            assert_eq!(counting.reviews(), 1);
            advance(Duration::from_millis(1)).await;
            assert!(counting.get(TTL, Ok(caller())).await.is_ok());
        }
        let counting = CountingCache::new(TTL);
        assert_eq!(counting.get(TTL, Err(AuthnError::Unavailable)).await, Err(AuthnError::Unavailable));
        assert!(counting.get(TTL, Ok(caller())).await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_thousand_concurrent_requests_cause_one_review() {
        for ttl in [TTL, Duration::ZERO] {
            let counting = Arc::new(CountingCache::new(ttl));
            let complete: Arc<Notify> = Arc::default();
            let request = |_| {
                let (counting, complete) = (counting.clone(), complete.clone());
                tokio::spawn(async move {
                    let reviews = counting.reviews.clone();
                    let review = || async move {
                        reviews.fetch_add(1, Ordering::SeqCst);
                        complete.notified().await;
                        Ok(caller())
                    };
                    counting.cache.get_or_review(TOKEN, ttl, review).await
                })
            };
            let requests: Vec<_> = (0..1000).map(request).collect();
            // All 1000 requests wait for the same review; the map has one more handle.
            while counting.cache.flights.handle_count(&TOKEN) < 1001 {
                tokio::task::yield_now().await;
            }
            complete.notify_one();
            for request in requests {
                assert!(request.await.unwrap().is_ok());
            }
            assert_eq!(counting.reviews(), 1, "{ttl:?}");
            assert_eq!(counting.cache.flights.handle_count(&TOKEN), 0);
        }
    }

    #[tokio::test]
    async fn a_review_continues_after_its_first_requester_is_gone() {
        let cache = Arc::new(ReviewCache::new(TTL));
        let gate: Arc<Notify> = Arc::default();
        let waiting = gate.clone();
        let slow = || async move {
            waiting.notified().await;
            Ok(caller())
        };
        let mut first = Box::pin(cache.get_or_review(TOKEN, TTL, slow));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        drop(first);
        let mut second = Box::pin(cache.get_or_review(TOKEN, TTL, || async { Err(REFUSED) }));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        gate.notify_one();
        assert!(second.await.is_ok(), "the first review continued");
    }

    #[tokio::test]
    async fn a_panic_in_a_review_is_unavailable_and_is_not_cached() {
        let cache = Arc::new(ReviewCache::new(TTL));
        let broken = || async { panic!("on purpose") };
        assert_eq!(cache.get_or_review(TOKEN, TTL, broken).await, Err(AuthnError::Unavailable));
        assert!(cache.get_or_review(TOKEN, TTL, || async { Ok(caller()) }).await.is_ok());
    }

    #[tokio::test]
    async fn tokens_are_cached_separately() {
        let cache = Arc::new(ReviewCache::new(TTL));
        assert!(cache.get_or_review(TOKEN, TTL, || async { Ok(caller()) }).await.is_ok());
        assert_eq!(cache.get_or_review([8; 32], TTL, || async { Err(REFUSED) }).await, Err(REFUSED));
    }
}
