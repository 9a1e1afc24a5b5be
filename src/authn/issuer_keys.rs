//! The keys that an issuer publishes: how long they are used, and when they are fetched again.

use super::discovery::{Discovery, FetchFault};
use super::jwks::KeySet;
use crate::flights::{Flight, SingleFlight};
use arc_swap::ArcSwapOption;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Interval of regular fetches, so that a withdrawn key is dropped.
const REFRESH_INTERVAL: Duration = Duration::from_hours(1);
/// Minimum interval between fetches: an unknown key causes one, and anyone can send such a token.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(30);
/// Minimum interval while there are no keys, because no token can be accepted.
const MIN_FETCH_INTERVAL_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// How long keys are used while the issuer cannot be reached. A day is longer than an outage over night. With a
/// longer time, the holder of a stolen and withdrawn key would only have to block our fetches.
const MAX_KEY_AGE: Duration = Duration::from_hours(24);

/// The last valid keys of one issuer.
pub struct IssuerKeys {
    /// The authenticator, for the log.
    name: Arc<str>,
    discovery: Discovery,
    cached: ArcSwapOption<CachedKeys>,
    last: Mutex<Option<Attempt>>,
    /// One fetch at a time; no lock is held during it.
    flights: Arc<SingleFlight<(), Attempt>>,
}

/// The result of a fetch.
type Answer = Result<Arc<KeySet>, FetchFault>;

struct CachedKeys {
    keys: Arc<KeySet>,
    fetched_at: Instant,
}

#[derive(Clone)]
struct Attempt {
    started_at: Instant,
    answer: Answer,
}

impl IssuerKeys {
    /// Starts fetching now and then periodically, until the last reference is dropped. Does not wait for an
    /// answer: an unreachable issuer must not prevent the start.
    pub fn open(name: Arc<str>, discovery: Discovery) -> Arc<Self> {
        if discovery.is_without_tls() {
            tracing::warn!(
                authenticator = &*name,
                "the issuer's keys are fetched without TLS; an attacker on the network path can forge tokens"
            );
        }
        let cached = ArcSwapOption::const_empty();
        let keys = Arc::new(Self { name, discovery, cached, last: Mutex::default(), flights: SingleFlight::new() });
        tokio::spawn(refresh_regularly(Arc::downgrade(&keys)));
        keys
    }

    /// The keys in use.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        let cached = self.cached.load();
        cached.as_ref().filter(|cached| cached.fetched_at.elapsed() < MAX_KEY_AGE).map(|cached| cached.keys.clone())
    }

    /// The issuer's current keys, or those of the last fetch if it was very recent; and whether a fetch has
    /// started since this call began.
    ///
    /// # Errors
    /// The keys could not be fetched.
    pub async fn newer(self: &Arc<Self>) -> Result<(Arc<KeySet>, bool), FetchFault> {
        let called_at = Instant::now();
        let attempt = match self.recent() {
            Some(attempt) => attempt,
            None => self.start_fetch(false).await.ok_or(FetchFault::Broken)?,
        };
        Ok((attempt.answer?, attempt.started_at >= called_at))
    }

    /// Fetches now, regardless of the last fetch.
    ///
    /// # Errors
    /// The keys could not be fetched.
    pub async fn fetch_now(self: &Arc<Self>) -> Answer {
        self.start_fetch(true).await.map_or(Err(FetchFault::Broken), |attempt| attempt.answer)
    }

    /// Fetches in a separate task, or joins a fetch in progress.
    fn start_fetch(self: &Arc<Self>, forced: bool) -> Flight<Attempt> {
        self.flights.join((), || {
            let keys = self.clone();
            async move {
                // Another fetch may have ended between the check and the start of this one.
                match keys.recent().filter(|_| !forced) {
                    Some(attempt) => attempt,
                    None => keys.fetch().await,
                }
            }
        })
    }

    async fn fetch(&self) -> Attempt {
        let started_at = Instant::now();
        let answer = self.discovery.keys().await.map(Arc::new);
        match &answer {
            Ok(keys) => {
                tracing::debug!(authenticator = &*self.name, keys = keys.len(), "issuer keys loaded");
                self.cached.store(Some(Arc::new(CachedKeys { keys: keys.clone(), fetched_at: started_at })));
            }
            Err(fault) => tracing::error!(
                authenticator = &*self.name,
                %fault,
                "issuer keys could not be fetched; the last keys stay valid for up to one day"
            ),
        }
        let attempt = Attempt { started_at, answer };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt.clone());
        attempt
    }

    /// The last attempt, if it is too early for another one. A failed attempt does not count after a change of
    /// `caFile`.
    fn recent(&self) -> Option<Attempt> {
        let interval = if self.current().is_some() { MIN_FETCH_INTERVAL } else { MIN_FETCH_INTERVAL_WITHOUT_KEYS };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let ca_changed = last.answer.is_err() && self.discovery.ca_file_changed();
        (last.started_at.elapsed() < interval && !ca_changed).then_some(last)
    }
}

async fn refresh_regularly(keys: Weak<IssuerKeys>) {
    while let Some(keys) = keys.upgrade() {
        let pause = match keys.start_fetch(false).await {
            Some(Attempt { answer: Ok(_), .. }) => REFRESH_INTERVAL,
            _ => MIN_FETCH_INTERVAL,
        };
        drop(keys);
        sleep(pause).await;
    }
}
