//! Circuit breakers: one for the server, one for each mount, and one for each path that creates credentials.
//!
//! The result of each call counts as follows. A rate limit (429) counts for the mount. A time-out counts for the path and the
//! mount, and for the server only if several mounts time out. A failed or broken connection and 502 to 504 count at every
//! level, but the server's breaker opens only if a probe fails too. So a failing path or mount never suspends the calls to
//! others.

mod failure_count;
mod scope;
mod server;

use crate::metrics::Metrics;
use crate::metrics::labels::BreakerScope;
use async_trait::async_trait;
use failure_count::Failure;
use scope::{ScopeBreaker, ScopeResult, StateChange};
use server::{ProbeEffect, ServerBreaker};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// Maximum number of mounts and paths of one server with a breaker of their own.
const MAX_SCOPES: usize = 1024;

/// How a call counts for the breakers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallVerdict {
    /// The server responded.
    Served,
    /// A failed or broken connection, or a response that shows that the server is unavailable (502 to 504).
    Failed,
    /// No response in time.
    TimedOut,
    /// The mount is rate-limited, with the server's `Retry-After` if it sent one.
    RateLimited(Option<Duration>),
}

/// The breakers that a call counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BreakerTarget<'a> {
    /// The mount, or another group of calls that fail together.
    pub(super) mount: &'a str,
    /// The path at which the call creates credentials. Each such path has a breaker of its own, because each role of a
    /// dynamic engine may use another backend system. `None` for other calls.
    pub(super) creation_path: Option<&'a str>,
    /// The path of the secret, to detect whether time-outs of a mount concern more than one secret. `None` if all calls of
    /// the group are the same.
    pub(super) secret_path: Option<&'a str>,
}

/// A check whether the server is available.
#[async_trait]
pub(super) trait Probe: Send + Sync + 'static {
    /// Whether the server is available.
    async fn is_available(&self) -> bool;
}

/// The breakers of one server.
pub(super) struct Breakers {
    store: Arc<str>,
    metrics: Arc<Metrics>,
    /// Without a probe, the breaker of the server stays closed.
    probe: Option<Arc<dyn Probe>>,
    server: Mutex<ServerBreaker>,
    /// The breakers of the mounts and paths with recent failures, by name.
    scopes: Mutex<HashMap<Box<str>, ScopeBreaker>>,
    /// The running probe task.
    probing: Mutex<Option<AbortHandle>>,
}

impl Breakers {
    /// Breakers that are all closed.
    pub(super) fn new(store: Arc<str>, metrics: Arc<Metrics>, probe: Option<Arc<dyn Probe>>) -> Arc<Self> {
        let (server, scopes, probing) = (Mutex::new(ServerBreaker::new()), Mutex::default(), Mutex::default());
        Arc::new(Self { store, metrics, probe, server, scopes, probing })
    }

    /// Returns the permission to make a call. `None` while calls are suspended.
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
        let (mount, path) = (is_trial(target.mount), target.creation_path.is_some_and(&mut is_trial));
        Some(CallPermit { breakers: self, target, trials: Some(Trials { mount, path }) })
    }

    /// Counts the result of a call at one level below the server.
    fn settle_scope(&self, scope: BreakerScope, name: &str, result: ScopeResult, is_trial: bool) {
        let mut scopes = lock(&self.scopes);
        let change = if let Some(state) = scopes.get_mut(name) {
            let change = state.settle(result, is_trial);
            if state.has_no_failures() {
                scopes.remove(name);
            }
            change
        } else if matches!(result, ScopeResult::Failed(_) | ScopeResult::RetryAfter(_)) {
            if scopes.len() >= MAX_SCOPES {
                scopes.retain(|_, state| !state.is_closed());
            }
            if scopes.len() >= MAX_SCOPES {
                return;
            }
            let mut state = ScopeBreaker::new();
            let change = state.settle(result, false);
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
            let task = tokio::spawn(probe_until_available(Arc::downgrade(self), probe.clone()));
            *lock(&self.probing) = Some(task.abort_handle());
        }
    }

    /// Counts the result of a probe. Returns the time until the next one, if one is needed.
    fn settle_probe(&self, is_available: bool) -> Option<Duration> {
        let probed = lock(&self.server).settle_probe(is_available);
        let store = &self.store;
        match probed {
            ProbeEffect::StayedClosed => None,
            ProbeEffect::Closed => {
                // The failures of the scopes were those of the server.
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

/// Probes a server until it is available.
async fn probe_until_available(breakers: Weak<Breakers>, probe: Arc<dyn Probe>) {
    loop {
        let is_available = probe.is_available().await;
        let Some(pause) = breakers.upgrade().and_then(|breakers| breakers.settle_probe(is_available)) else { return };
        sleep(pause).await;
    }
}

/// The half-open breakers for which this call is the trial.
#[derive(Clone, Copy)]
struct Trials {
    mount: bool,
    path: bool,
}

/// The permission to make one call. If the trial call is dropped without a result, another call becomes the trial.
pub(super) struct CallPermit<'a> {
    breakers: &'a Arc<Breakers>,
    target: BreakerTarget<'a>,
    trials: Option<Trials>,
}

impl CallPermit<'_> {
    /// Counts the result of the call.
    pub(super) fn settle(mut self, verdict: CallVerdict) {
        let Some(trials) = self.trials.take() else { return };
        let (target, failed) = (self.target, ScopeResult::Failed(Failure::Whole));
        if let Some(path) = target.creation_path {
            let result = match verdict {
                CallVerdict::Served => ScopeResult::Success,
                CallVerdict::Failed | CallVerdict::TimedOut => failed,
                CallVerdict::RateLimited(_) => ScopeResult::Ignored,
            };
            self.breakers.settle_scope(BreakerScope::Path, path, result, trials.path);
        }
        let result = match verdict {
            CallVerdict::Served => ScopeResult::Success,
            CallVerdict::Failed | CallVerdict::RateLimited(None) => failed,
            CallVerdict::TimedOut => ScopeResult::Failed(
                target.secret_path.map_or(Failure::Whole, |secret| Failure::Part(hash_name(secret))),
            ),
            CallVerdict::RateLimited(Some(wait)) => ScopeResult::RetryAfter(wait),
        };
        self.breakers.settle_scope(BreakerScope::Mount, target.mount, result, trials.mount);
        self.breakers.settle_server(match verdict {
            CallVerdict::Served | CallVerdict::RateLimited(_) => None,
            CallVerdict::Failed => Some(Failure::Whole),
            CallVerdict::TimedOut => Some(Failure::Part(hash_name(target.mount))),
        });
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let Some(trials) = self.trials.take() else { return };
        let mut scopes = lock(&self.breakers.scopes);
        for (name, is_trial) in [(Some(self.target.mount), trials.mount), (self.target.creation_path, trials.path)] {
            if let Some(state) = name.filter(|_| is_trial).and_then(|name| scopes.get_mut(name)) {
                state.cancel_trial();
            }
        }
    }
}

impl<'a> BreakerTarget<'a> {
    /// A group of equal calls, such as logins.
    pub(super) const fn group(name: &'a str) -> Self {
        Self { mount: name, creation_path: None, secret_path: None }
    }

    fn scopes(self) -> impl Iterator<Item = (BreakerScope, &'a str)> {
        let path = self.creation_path.map(|path| (BreakerScope::Path, path));
        std::iter::once((BreakerScope::Mount, self.mount)).chain(path)
    }
}

/// A hash that distinguishes the parts of a scope. Not cryptographic.
fn hash_name(name: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

/// A panic under the lock leaves consistent data: every change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
