//! The cache of reviewed tokens, by fingerprint. Concurrent reviews of one token are coalesced.

use super::error::AuthnError;
use super::unverified::Fingerprint;
use crate::flights::SingleFlight;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of accepted tokens, and of refused ones. Forged tokens fill only the latter.
const MAX_ENTRIES: u64 = 10_000;
/// Maximum number of fingerprints of tokens that passed before.
const MAX_ACCEPTED_BEFORE: u64 = 100_000;
/// How long they are kept: the lifetime of a pod's token.
const ACCEPTED_BEFORE_TTL: Duration = Duration::from_hours(1);
/// How long a refusal is cached.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Upper bound of the configured cache time.
const MAX_CACHE_TTL: Duration = Duration::from_hours(24);

/// The result of a review.
pub type Answer<V> = Result<V, AuthnError>;

/// The cached results and the reviews in flight.
pub struct Recent<V> {
    accepted: Cache<Fingerprint, CachedAnswer<V>>,
    refused: Cache<Fingerprint, CachedAnswer<V>>,
    passed: Cache<Fingerprint, ()>,
    flights: Arc<SingleFlight<Fingerprint, Answer<V>>>,
}

#[derive(Clone)]
struct CachedAnswer<V> {
    answer: Answer<V>,
    /// By tokio's clock, which tests can advance. moka's own expiry only frees the memory.
    until: Instant,
}

impl<V: Clone + Send + Sync + 'static> Recent<V> {
    /// `longest` is the longest time for which an accepted token is cached.
    pub fn new(longest: Duration) -> Self {
        let bounded = |keep: Duration| Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(keep).build();
        let passed = Cache::builder().max_capacity(MAX_ACCEPTED_BEFORE).time_to_live(ACCEPTED_BEFORE_TTL).build();
        Self {
            accepted: bounded(longest.min(MAX_CACHE_TTL)),
            refused: bounded(REFUSED_FOR),
            passed,
            flights: SingleFlight::new(),
        }
    }

    /// Whether the token was accepted before and not refused since. It only gives priority in the queue for a review.
    pub async fn was_accepted_before(&self, token: &Fingerprint) -> bool {
        self.passed.get(token).await.is_some()
    }

    /// The cached result, or that of the review in flight, or that of a new review. An accepted token is cached for `keep`,
    /// counted from the start of the review.
    pub async fn answer<F, R>(self: &Arc<Self>, token: Fingerprint, keep: Duration, review: F) -> Answer<V>
    where
        F: FnOnce() -> R,
        R: Future<Output = Answer<V>> + Send + 'static,
    {
        if let Some(answer) = self.cached(&token).await {
            return answer;
        }
        let flight = self.flights.join(token, || {
            let (recent, review) = (self.clone(), review());
            async move {
                // Another review may have ended between the look-up and the start of this one.
                if let Some(answer) = recent.cached(&token).await {
                    return answer;
                }
                let started = Instant::now();
                let answer = review.await;
                recent.insert(token, &answer, started + keep.min(MAX_CACHE_TTL)).await;
                answer
            }
        });
        flight.await.unwrap_or(Err(AuthnError::Unavailable))
    }

    /// The cached result, if there is one.
    pub async fn cached(&self, token: &Fingerprint) -> Option<Answer<V>> {
        let held = match self.accepted.get(token).await {
            Some(held) => held,
            None => self.refused.get(token).await?,
        };
        (Instant::now() < held.until).then_some(held.answer)
    }

    async fn insert(&self, token: Fingerprint, answer: &Answer<V>, accepted_until: Instant) {
        let now = Instant::now();
        match answer {
            Ok(_) => self.passed.insert(token, ()).await,
            Err(AuthnError::Refused(_) | AuthnError::NotPodBound(_)) => self.passed.invalidate(&token).await,
            Err(AuthnError::Limited | AuthnError::UnknownKey | AuthnError::Unavailable) => {}
        }
        let answer = answer.clone();
        match answer {
            Ok(_) if accepted_until > now => {
                self.accepted.insert(token, CachedAnswer { answer, until: accepted_until }).await;
            }
            Err(AuthnError::Refused(_) | AuthnError::NotPodBound(_)) => {
                // The refusal is newer than the accepted token.
                self.accepted.invalidate(&token).await;
                self.refused.insert(token, CachedAnswer { answer, until: now + REFUSED_FOR }).await;
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
    const KEEP: Duration = Duration::from_secs(10);
    const REFUSED: AuthnError = AuthnError::Refused(TokenRefusal::NotAuthenticated);

    fn caller() -> Arc<Caller> {
        Arc::new(Caller {
            issuer: "cluster".into(),
            subject: "s".into(),
            groups: Vec::new(),
            workload: None,
            unbound: None,
            claims: serde_json::Map::new(),
        })
    }

    /// Counts the reviews it is asked for.
    struct Counted {
        recent: Arc<Recent<Arc<Caller>>>,
        reviews: Arc<AtomicUsize>,
    }

    impl Counted {
        fn new(keep: Duration) -> Self {
            Self { recent: Arc::new(Recent::new(keep)), reviews: Arc::default() }
        }

        async fn ask(&self, keep: Duration, answer: Answer<Arc<Caller>>) -> Answer<Arc<Caller>> {
            let reviews = self.reviews.clone();
            let review = || async move {
                reviews.fetch_add(1, Ordering::SeqCst);
                answer
            };
            self.recent.answer(TOKEN, keep, review).await
        }

        fn reviews(&self) -> usize {
            self.reviews.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_believed_for_as_long_as_agreed_and_no_longer() {
        let counted = Counted::new(KEEP);
        assert!(counted.ask(KEEP, Ok(caller())).await.is_ok());
        advance(Duration::from_millis(9_999)).await;
        assert!(counted.ask(KEEP, Err(REFUSED)).await.is_ok());
        assert_eq!(counted.reviews(), 1);
        advance(Duration::from_millis(1)).await;
        assert_eq!(counted.ask(KEEP, Err(REFUSED)).await, Err(REFUSED));
        assert_eq!(counted.reviews(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_before_the_review() {
        let recent = Arc::new(Recent::new(KEEP));
        let slow = || async {
            tokio::time::sleep(KEEP).await;
            Ok(caller())
        };
        assert!(recent.answer(TOKEN, KEEP, slow).await.is_ok());
        assert_eq!(recent.answer(TOKEN, KEEP, || async { Err(REFUSED) }).await, Err(REFUSED));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_believed_for_no_time() {
        let counted = Counted::new(Duration::ZERO);
        assert!(counted.ask(Duration::ZERO, Ok(caller())).await.is_ok());
        assert_eq!(counted.ask(Duration::ZERO, Err(REFUSED)).await, Err(REFUSED));
        assert_eq!(counted.reviews(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_has_passed_until_it_is_refused() {
        let counted = Counted::new(KEEP);
        assert!(!counted.recent.was_accepted_before(&TOKEN).await);
        assert!(counted.ask(KEEP, Ok(caller())).await.is_ok());
        advance(KEEP).await;
        for unknown in [AuthnError::Unavailable, AuthnError::Limited] {
            assert_eq!(counted.ask(KEEP, Err(unknown.clone())).await, Err(unknown));
            assert!(counted.recent.was_accepted_before(&TOKEN).await);
        }
        assert_eq!(counted.ask(KEEP, Err(REFUSED)).await, Err(REFUSED));
        assert!(!counted.recent.was_accepted_before(&TOKEN).await);
    }

    #[tokio::test(start_paused = true)]
    async fn more_time_than_there_is_does_no_harm() {
        let counted = Counted::new(Duration::MAX);
        assert!(counted.ask(Duration::MAX, Ok(caller())).await.is_ok());
        assert!(counted.ask(Duration::MAX, Err(REFUSED)).await.is_ok());
        advance(MAX_CACHE_TTL).await;
        assert_eq!(counted.ask(Duration::MAX, Err(REFUSED)).await, Err(REFUSED));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_believed_for_a_second_and_not_knowing_never() {
        for refusal in [REFUSED, AuthnError::NotPodBound(caller()), AuthnError::Refused(TokenRefusal::PodGone)] {
            let counted = Counted::new(KEEP);
            assert_eq!(counted.ask(KEEP, Err(refusal.clone())).await, Err(refusal.clone()));
            advance(Duration::from_millis(999)).await;
            assert_eq!(counted.ask(KEEP, Ok(caller())).await, Err(refusal));
            assert_eq!(counted.reviews(), 1);
            advance(Duration::from_millis(1)).await;
            assert!(counted.ask(KEEP, Ok(caller())).await.is_ok());
        }
        let counted = Counted::new(KEEP);
        assert_eq!(counted.ask(KEEP, Err(AuthnError::Unavailable)).await, Err(AuthnError::Unavailable));
        assert!(counted.ask(KEEP, Ok(caller())).await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_thousand_at_once_are_one_review() {
        for keep in [KEEP, Duration::ZERO] {
            let counted = Arc::new(Counted::new(keep));
            let asked: Arc<Notify> = Arc::default();
            let ask = |_| {
                let (counted, asked) = (counted.clone(), asked.clone());
                tokio::spawn(async move {
                    let reviews = counted.reviews.clone();
                    let review = || async move {
                        reviews.fetch_add(1, Ordering::SeqCst);
                        asked.notified().await;
                        Ok(caller())
                    };
                    counted.recent.answer(TOKEN, keep, review).await
                })
            };
            let all: Vec<_> = (0..1000).map(ask).collect();
            // All callers wait for the same review.
            while counted.recent.flights.handle_count(&TOKEN) < 1001 {
                tokio::task::yield_now().await;
            }
            asked.notify_one();
            for one in all {
                assert!(one.await.unwrap().is_ok());
            }
            assert_eq!(counted.reviews(), 1, "{keep:?}");
            assert_eq!(counted.recent.flights.handle_count(&TOKEN), 0);
        }
    }

    #[tokio::test]
    async fn who_asked_first_may_hang_up() {
        let recent = Arc::new(Recent::new(KEEP));
        let gate: Arc<Notify> = Arc::default();
        let waiting = gate.clone();
        let slow = || async move {
            waiting.notified().await;
            Ok(caller())
        };
        let mut first = Box::pin(recent.answer(TOKEN, KEEP, slow));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        drop(first);
        let mut second = Box::pin(recent.answer(TOKEN, KEEP, || async { Err(REFUSED) }));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        gate.notify_one();
        assert!(second.await.is_ok(), "the first one's review went on");
    }

    #[tokio::test]
    async fn a_review_that_panics_is_no_answer_and_does_not_stay() {
        let recent = Arc::new(Recent::new(KEEP));
        let broken = || async { panic!("on purpose") };
        assert_eq!(recent.answer(TOKEN, KEEP, broken).await, Err(AuthnError::Unavailable));
        assert!(recent.answer(TOKEN, KEEP, || async { Ok(caller()) }).await.is_ok());
    }

    #[tokio::test]
    async fn one_token_is_not_another() {
        let recent = Arc::new(Recent::new(KEEP));
        assert!(recent.answer(TOKEN, KEEP, || async { Ok(caller()) }).await.is_ok());
        assert_eq!(recent.answer([8; 32], KEEP, || async { Err(REFUSED) }).await, Err(REFUSED));
    }
}
