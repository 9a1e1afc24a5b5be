//! The keys that an issuer publishes: which are believed, and when it is asked again.

use super::discovery::{Discovery, FetchFault};
use super::jwks::KeySet;
use crate::flights::{Flight, SingleFlight};
use arc_swap::ArcSwapOption;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the issuer is asked unasked, so that a key it withdrew is dropped.
const ASK_EVERY: Duration = Duration::from_hours(1);
/// An unknown key is a reason to ask, but anybody can name one: never more often than this.
const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(30);
/// The same while there are no keys at all, so that nobody can be vouched for.
const RETRY_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// How long keys are believed while the issuer cannot be asked. A day outlasts an outage over night; for longer, whoever
/// holds a stolen key that the issuer has withdrawn had only to keep us from asking.
const BELIEVED_FOR: Duration = Duration::from_hours(24);

/// The last good keys of one issuer.
pub struct IssuerKeys {
    /// The authenticator, for the log.
    name: Arc<str>,
    discovery: Discovery,
    held: ArcSwapOption<HeldKeys>,
    last: Mutex<Option<Attempt>>,
    /// One question at a time; no lock is held while it is under way.
    flights: Arc<SingleFlight<(), Attempt>>,
}

/// What came of asking.
type Answer = Result<Arc<KeySet>, FetchFault>;

struct HeldKeys {
    keys: Arc<KeySet>,
    asked_at: Instant,
}

#[derive(Clone)]
struct Attempt {
    began_at: Instant,
    answer: Answer,
}

impl IssuerKeys {
    /// Begins to ask at once and from then on, for as long as somebody holds it. Does not wait for an answer: an issuer
    /// that is down must not keep the process from starting.
    pub fn open(name: Arc<str>, discovery: Discovery) -> Arc<Self> {
        if discovery.is_without_tls() {
            tracing::warn!(
                authenticator = &*name,
                "the issuer's keys are fetched without TLS; an attacker on the network path can forge tokens"
            );
        }
        let held = ArcSwapOption::const_empty();
        let keys = Arc::new(Self { name, discovery, held, last: Mutex::default(), flights: SingleFlight::new() });
        tokio::spawn(keep_asking(Arc::downgrade(&keys)));
        keys
    }

    /// The keys that are believed now.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        held.as_ref().filter(|held| held.asked_at.elapsed() < BELIEVED_FOR).map(|held| held.keys.clone())
    }

    /// The keys that the issuer has now, or had when it was asked last, if that was a moment ago; and whether it was asked
    /// since this call began.
    ///
    /// # Errors
    /// When the issuer could not be asked.
    pub async fn newer(self: &Arc<Self>) -> Result<(Arc<KeySet>, bool), FetchFault> {
        let called_at = Instant::now();
        let attempt = match self.recent() {
            Some(attempt) => attempt,
            None => self.ask(false).await.ok_or(FetchFault::Broken)?,
        };
        Ok((attempt.answer?, attempt.began_at >= called_at))
    }

    /// Asks now, however short ago it was asked.
    ///
    /// # Errors
    /// When the issuer could not be asked.
    pub async fn ask_now(self: &Arc<Self>) -> Answer {
        self.ask(true).await.map_or(Err(FetchFault::Broken), |attempt| attempt.answer)
    }

    /// Asks in a task of its own, or joins whoever does.
    fn ask(self: &Arc<Self>, however_recent: bool) -> Flight<Attempt> {
        self.flights.join((), || {
            let keys = self.clone();
            async move {
                // Another flight may have landed between our look and our start.
                match keys.recent().filter(|_| !however_recent) {
                    Some(attempt) => attempt,
                    None => keys.fetch().await,
                }
            }
        })
    }

    async fn fetch(&self) -> Attempt {
        let began_at = Instant::now();
        let answer = self.discovery.keys().await.map(Arc::new);
        match &answer {
            Ok(keys) => {
                tracing::debug!(authenticator = &*self.name, keys = keys.len(), "issuer keys loaded");
                self.held.store(Some(Arc::new(HeldKeys { keys: keys.clone(), asked_at: began_at })));
            }
            Err(fault) => tracing::error!(
                authenticator = &*self.name,
                %fault,
                "issuer keys could not be fetched; the last keys stay valid for up to one day"
            ),
        }
        let attempt = Attempt { began_at, answer };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt.clone());
        attempt
    }

    /// The last attempt, where it is too early for another one. After one that failed it is not, once `caFile` has changed.
    fn recent(&self) -> Option<Attempt> {
        let interval = if self.current().is_some() { ASK_AT_MOST_EVERY } else { RETRY_WITHOUT_KEYS };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let is_mended = last.answer.is_err() && self.discovery.has_another_ca();
        (last.began_at.elapsed() < interval && !is_mended).then_some(last)
    }
}

async fn keep_asking(keys: Weak<IssuerKeys>) {
    while let Some(keys) = keys.upgrade() {
        let pause = match keys.ask(false).await {
            Some(Attempt { answer: Ok(_), .. }) => ASK_EVERY,
            _ => ASK_AT_MOST_EVERY,
        };
        drop(keys);
        sleep(pause).await;
    }
}
