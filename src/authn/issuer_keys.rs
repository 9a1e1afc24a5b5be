//! The cache of an issuer's published keys: how long they are used, and when they are fetched again.

use super::discovery::{Discovery, KeyFetchError};
use super::jwks::KeySet;
use crate::flights::{Flight, SingleFlight};
use arc_swap::ArcSwapOption;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Interval of regular fetches, by which withdrawn keys are dropped.
const REFRESH_INTERVAL: Duration = Duration::from_hours(1);
/// Minimum interval between fetches. A token with an unknown key causes a fetch, and anyone can send such a token.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(30);
/// Minimum interval while there are no keys. It is shorter, because no token can be accepted without keys.
const MIN_FETCH_INTERVAL_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// How long keys are used while the issuer cannot be reached. A day bridges an outage over night. It is not longer, because the
/// holder of a stolen and withdrawn key can keep it in use by blocking the fetches.
const MAX_KEY_AGE: Duration = Duration::from_hours(24);

/// The last valid keys of one issuer.
pub struct IssuerKeys {
    /// The authenticator, for the log.
    name: Arc<str>,
    discovery: Discovery,
    cached: ArcSwapOption<CachedKeys>,
    last_fetch: Mutex<Option<Fetch>>,
    /// One fetch at a time. No lock is held during a fetch.
    flights: Arc<SingleFlight<(), Fetch>>,
}

type FetchResult = Result<Arc<KeySet>, KeyFetchError>;

struct CachedKeys {
    keys: Arc<KeySet>,
    fetched_at: Instant,
}

/// A completed fetch.
#[derive(Clone)]
struct Fetch {
    started_at: Instant,
    result: FetchResult,
}

impl IssuerKeys {
    /// Starts a task that fetches the keys at once and then periodically, until the last reference is dropped. Does not wait for
    /// the first fetch: an unreachable issuer must not prevent the start.
    pub fn open(name: Arc<str>, discovery: Discovery) -> Arc<Self> {
        if discovery.is_without_tls() {
            tracing::warn!(
                authenticator = &*name,
                "the issuer's keys are fetched without TLS; an attacker on the network path can forge tokens"
            );
        }
        let cached = ArcSwapOption::const_empty();
        let (last_fetch, flights) = (Mutex::default(), SingleFlight::new());
        let keys = Arc::new(Self { name, discovery, cached, last_fetch, flights });
        tokio::spawn(fetch_periodically(Arc::downgrade(&keys)));
        keys
    }

    /// The keys in use. `None` if no fetch succeeded within the last day.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        let cached = self.cached.load();
        cached.as_ref().filter(|cached| cached.fetched_at.elapsed() < MAX_KEY_AGE).map(|cached| cached.keys.clone())
    }

    /// Fetches the keys, unless the last fetch is within the minimum interval. Returns the keys of the last fetch, and whether that
    /// fetch started after this call.
    ///
    /// # Errors
    /// The keys could not be fetched.
    pub async fn refresh(self: &Arc<Self>) -> Result<(Arc<KeySet>, bool), KeyFetchError> {
        let called_at = Instant::now();
        let fetch = match self.recent_fetch() {
            Some(fetch) => fetch,
            None => self.start_fetch(false).await.ok_or(KeyFetchError::Broken)?,
        };
        Ok((fetch.result?, fetch.started_at >= called_at))
    }

    /// Fetches the keys regardless of the last fetch, or joins a fetch in progress.
    ///
    /// # Errors
    /// The keys could not be fetched.
    pub async fn fetch_now(self: &Arc<Self>) -> FetchResult {
        self.start_fetch(true).await.map_or(Err(KeyFetchError::Broken), |fetch| fetch.result)
    }

    /// Fetches in a separate task, or joins a fetch in progress. Without `forced`, a last fetch within the minimum interval is
    /// returned instead.
    fn start_fetch(self: &Arc<Self>, forced: bool) -> Flight<Fetch> {
        self.flights.join((), || {
            let keys = self.clone();
            async move {
                // Another fetch may have ended between the caller's check and the start of this one.
                match keys.recent_fetch().filter(|_| !forced) {
                    Some(fetch) => fetch,
                    None => keys.fetch().await,
                }
            }
        })
    }

    async fn fetch(&self) -> Fetch {
        let started_at = Instant::now();
        let result = self.discovery.keys().await.map(Arc::new);
        match &result {
            Ok(keys) => {
                tracing::debug!(authenticator = &*self.name, keys = keys.len(), "issuer keys loaded");
                self.cached.store(Some(Arc::new(CachedKeys { keys: keys.clone(), fetched_at: started_at })));
            }
            Err(error) => tracing::error!(
                authenticator = &*self.name,
                fault = %error,
                "issuer keys could not be fetched; the last keys stay valid for up to one day"
            ),
        }
        let fetch = Fetch { started_at, result };
        *self.last_fetch.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetch.clone());
        fetch
    }

    /// The last fetch, if it is too early to fetch again. `None` otherwise. If the last fetch failed and `caFile` has changed
    /// since, it is not too early.
    fn recent_fetch(&self) -> Option<Fetch> {
        let interval = if self.current().is_some() { MIN_FETCH_INTERVAL } else { MIN_FETCH_INTERVAL_WITHOUT_KEYS };
        let last = self.last_fetch.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let ca_changed = last.result.is_err() && self.discovery.ca_file_changed();
        (last.started_at.elapsed() < interval && !ca_changed).then_some(last)
    }
}

async fn fetch_periodically(keys: Weak<IssuerKeys>) {
    while let Some(keys) = keys.upgrade() {
        let pause = match keys.start_fetch(false).await {
            Some(Fetch { result: Ok(_), .. }) => REFRESH_INTERVAL,
            _ => MIN_FETCH_INTERVAL,
        };
        drop(keys);
        sleep(pause).await;
    }
}
