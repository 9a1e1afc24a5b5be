//! Circuit breakers: one for the server, one for each mount, and one for each path that creates credentials.
//!
//! The result of each call counts as follows. A rate limit (429) counts for the mount, a time-out for the path and the mount,
//! and for the server only if several mounts time out. No connection, a broken one, and 502 to 504 count at every level, but
//! the server's breaker opens only if a health check of our own fails too. So a failing path or mount never suspends the
//! calls of others.

mod scope;
mod server;
mod tally;

use crate::metrics::Metrics;
use crate::metrics::labels::BreakerScope;
use async_trait::async_trait;
use scope::{Mark, ScopeBreaker, StateChange};
use server::{ProbeEffect, ServerBreaker};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tally::Failure;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// Maximum number of mounts and paths of one server with a breaker of their own.
const MAX_SCOPES: usize = 1024;

/// The result of a call, in terms of the breakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallVerdict {
    /// The server answered.
    Served,
    /// No connection, a broken one, or a response that says that the server does not serve (502 to 504).
    Failed,
    /// No response in time.
    Late,
    /// The rate limit of a mount, with the server's `Retry-After` if it sent one.
    Limited(Option<Duration>),
}

/// The breakers that a call counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BreakerTarget<'a> {
    /// The mount, or another group of calls that fail together.
    pub(super) mount: &'a str,
    /// The path, if it has a breaker: each role of a dynamic engine has a system behind it.
    pub(super) path: Option<&'a str>,
    /// The path of the secret, to detect whether time-outs of a mount concern more than one secret. `None` if all calls of
    /// the group are the same.
    pub(super) secret: Option<&'a str>,
}

/// A health check of the server.
#[async_trait]
pub(super) trait Probe: Send + Sync + 'static {
    /// Whether the server serves.
    async fn serves(&self) -> bool;
}

/// The breakers of one server.
pub(super) struct Breakers {
    store: Arc<str>,
    metrics: Arc<Metrics>,
    /// Without a probe the server's own breaker stays closed.
    probe: Option<Arc<dyn Probe>>,
    server: Mutex<ServerBreaker>,
    /// By mount or path, those with recent failures.
    scopes: Mutex<HashMap<Box<str>, ScopeBreaker>>,
    /// The task that probes.
    probing: Mutex<Option<AbortHandle>>,
}

impl Breakers {
    /// Breakers that are all closed.
    pub(super) fn new(store: Arc<str>, metrics: Arc<Metrics>, probe: Option<Arc<dyn Probe>>) -> Arc<Self> {
        let (server, scopes, probing) = (Mutex::new(ServerBreaker::new()), Mutex::default(), Mutex::default());
        Arc::new(Self { store, metrics, probe, server, scopes, probing })
    }

    /// The permission to make a call; `None` while calls are suspended.
    pub(super) fn admit<'a>(self: &'a Arc<Self>, target: BreakerTarget<'a>) -> Option<CallPermit<'a>> {
        if !lock(&self.server).admits() {
            self.metrics.count_suspended_store_call(&self.store, BreakerScope::Server);
            return None;
        }
        let (mut scopes, now) = (lock(&self.scopes), Instant::now());
        for (scope, name) in target.scopes() {
            if scopes.get(name).is_some_and(|state| !state.admits(now)) {
                self.metrics.count_suspended_store_call(&self.store, scope);
                return None;
            }
        }
        let mut is_trial = |name: &str| scopes.get_mut(name).is_some_and(ScopeBreaker::begin_call);
        let (mount, path) = (is_trial(target.mount), target.path.is_some_and(&mut is_trial));
        Some(CallPermit { breakers: self, target, trials: Some(Trials { mount, path }) })
    }

    /// Counts the result of a call at one level below the server.
    fn settle_scope(&self, scope: BreakerScope, name: &str, mark: Mark, is_trial: bool) {
        let mut scopes = lock(&self.scopes);
        let change = if let Some(state) = scopes.get_mut(name) {
            let change = state.settle(mark, is_trial);
            if state.has_no_failures() {
                scopes.remove(name);
            }
            change
        } else if matches!(mark, Mark::Bad(_) | Mark::RetryAfter(_)) {
            if scopes.len() >= MAX_SCOPES {
                scopes.retain(|_, state| !state.is_closed());
            }
            if scopes.len() >= MAX_SCOPES {
                return;
            }
            let mut state = ScopeBreaker::new();
            let change = state.settle(mark, false);
            scopes.insert(name.into(), state);
            change
        } else {
            None
        };
        drop(scopes);
        let (store, scope) = (&self.store, scope.as_str());
        match change {
            Some(StateChange::Opened) => {
                tracing::warn!(%store, scope, "circuit breaker opened; calls of this scope are suspended");
            }
            Some(StateChange::Closed) => tracing::info!(%store, scope, "circuit breaker closed"),
            None => {}
        }
    }

    fn settle_server(self: &Arc<Self>, failure: Option<Failure>) {
        let Some(probe) = &self.probe else { return };
        if lock(&self.server).settle(failure) {
            let task = tokio::spawn(probe_until_serving(Arc::downgrade(self), probe.clone()));
            *lock(&self.probing) = Some(task.abort_handle());
        }
    }

    /// Counts the result of a probe. Returns the time until the next one, if one is needed.
    fn settle_probe(&self, serves: bool) -> Option<Duration> {
        let probed = lock(&self.server).settle_probe(serves);
        let store = &self.store;
        match probed {
            ProbeEffect::StayedClosed => None,
            ProbeEffect::Closed => {
                // Their failures were those of the server.
                lock(&self.scopes).clear();
                tracing::info!(%store, scope = "server", "circuit breaker closed");
                None
            }
            ProbeEffect::Opened(pause) => {
                tracing::warn!(%store, scope = "server", "circuit breaker opened; calls to the store are suspended");
                Some(pause)
            }
            ProbeEffect::StillOpen(pause) => Some(pause),
        }
    }
}

impl Drop for Breakers {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.probing).take() {
            task.abort();
        }
    }
}

/// Probes a server until it serves.
async fn probe_until_serving(breakers: Weak<Breakers>, probe: Arc<dyn Probe>) {
    loop {
        let serves = probe.serves().await;
        let Some(pause) = breakers.upgrade().and_then(|breakers| breakers.settle_probe(serves)) else { return };
        sleep(pause).await;
    }
}

/// The half-open breakers for which this call is the trial.
#[derive(Clone, Copy)]
struct Trials {
    mount: bool,
    path: bool,
}

/// The permission to make one call. If a trial is dropped without a result, another call is the trial.
pub(super) struct CallPermit<'a> {
    breakers: &'a Arc<Breakers>,
    target: BreakerTarget<'a>,
    trials: Option<Trials>,
}

impl CallPermit<'_> {
    /// Counts the result of the call.
    pub(super) fn settle(mut self, verdict: CallVerdict) {
        let Some(trials) = self.trials.take() else { return };
        let (target, whole) = (self.target, Mark::Bad(Failure::Whole));
        if let Some(path) = target.path {
            let mark = match verdict {
                CallVerdict::Served => Mark::Good,
                CallVerdict::Failed | CallVerdict::Late => whole,
                CallVerdict::Limited(_) => Mark::Neutral,
            };
            self.breakers.settle_scope(BreakerScope::Path, path, mark, trials.path);
        }
        let mark = match verdict {
            CallVerdict::Served => Mark::Good,
            CallVerdict::Failed | CallVerdict::Limited(None) => whole,
            CallVerdict::Late => Mark::Bad(target.secret.map_or(Failure::Whole, |asked| Failure::Part(digest(asked)))),
            CallVerdict::Limited(Some(wait)) => Mark::RetryAfter(wait),
        };
        self.breakers.settle_scope(BreakerScope::Mount, target.mount, mark, trials.mount);
        self.breakers.settle_server(match verdict {
            CallVerdict::Served | CallVerdict::Limited(_) => None,
            CallVerdict::Failed => Some(Failure::Whole),
            CallVerdict::Late => Some(Failure::Part(digest(target.mount))),
        });
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let Some(trials) = self.trials.take() else { return };
        let mut scopes = lock(&self.breakers.scopes);
        for (name, is_trial) in [(Some(self.target.mount), trials.mount), (self.target.path, trials.path)] {
            if let Some(state) = name.filter(|_| is_trial).and_then(|name| scopes.get_mut(name)) {
                state.give_up();
            }
        }
    }
}

impl<'a> BreakerTarget<'a> {
    /// A group of equal calls, such as logins.
    pub(super) const fn group(name: &'a str) -> Self {
        Self { mount: name, path: None, secret: None }
    }

    fn scopes(self) -> impl Iterator<Item = (BreakerScope, &'a str)> {
        let path = self.path.map(|path| (BreakerScope::Path, path));
        std::iter::once((BreakerScope::Mount, self.mount)).chain(path)
    }
}

/// Distinguishes parts; not cryptographic.
fn digest(name: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

/// A panic under the lock leaves consistent data: every change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
