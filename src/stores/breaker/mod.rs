//! Circuit breakers: one for a server, one for each mount, and one for each path where credentials are made.
//!
//! The caller of a server gives the verdicts. A rate limit (429) counts for the mount that was asked, a time-out for the path
//! and the mount, and for the server only where several mounts time out. No connection, a broken one, and 502 to 504 count
//! at every level, but the server's breaker opens only when a cheap call of our own (`sys/health`) fails as well. So the
//! trouble of one path or mount never holds back its neighbours.

mod scope;
mod server;
mod tally;

use crate::metrics::Metrics;
use crate::metrics::labels::BreakerScope;
use async_trait::async_trait;
use scope::{Change, Mark, Scope};
use server::{Probed, Server};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tally::Failure;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// The most mounts and paths of one server whose failures are remembered. One more is not held back by itself.
const MAX_SCOPES: usize = 1024;

/// What a call says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered.
    Served,
    /// No connection, a broken one, or a server that says that it does not serve.
    Failed,
    /// No answer in time.
    Late,
    /// The rate limit of a mount, with how long to wait where the server says so.
    Limited(Option<Duration>),
}

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The mount, or another group of calls that share their trouble.
    pub(super) mount: &'a str,
    /// The path, where it may be in trouble by itself: each role of an engine that makes credentials has a system behind it.
    pub(super) path: Option<&'a str>,
    /// What is asked, to tell whether time-outs of a mount are about more than one thing; none where they all are about the
    /// same.
    pub(super) asked: Option<&'a str>,
}

/// The cheapest call that a server answers, made by ourselves.
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
    server: Mutex<Server>,
    /// By mount or path, those that have failed lately.
    scopes: Mutex<HashMap<Box<str>, Scope>>,
    /// The task that probes.
    probing: Mutex<Option<AbortHandle>>,
}

impl Breakers {
    /// All closed: calls are made.
    pub(super) fn new(store: Arc<str>, metrics: Arc<Metrics>, probe: Option<Arc<dyn Probe>>) -> Arc<Self> {
        let (server, scopes, probing) = (Mutex::new(Server::new()), Mutex::default(), Mutex::default());
        Arc::new(Self { store, metrics, probe, server, scopes, probing })
    }

    /// The permission to make a call; none while calls are suspended.
    pub(super) fn admit<'a>(self: &'a Arc<Self>, target: Target<'a>) -> Option<Pass<'a>> {
        if !lock(&self.server).admits() {
            self.metrics.store_call_suspended(&self.store, BreakerScope::Server);
            return None;
        }
        let (mut scopes, now) = (lock(&self.scopes), Instant::now());
        for (scope, name) in target.scopes() {
            if scopes.get(name).is_some_and(|state| !state.admits(now)) {
                self.metrics.store_call_suspended(&self.store, scope);
                return None;
            }
        }
        let mut decides = |name: &str| scopes.get_mut(name).is_some_and(Scope::begin);
        let (mount, path) = (decides(target.mount), target.path.is_some_and(&mut decides));
        Some(Pass { breakers: self, target, decides: Some(Decides { mount, path }) })
    }

    /// Notes what came of a call at one level below the server.
    fn settle_scope(&self, scope: BreakerScope, name: &str, mark: Mark, decides: bool) {
        let mut scopes = lock(&self.scopes);
        let change = if let Some(state) = scopes.get_mut(name) {
            let change = state.settle(mark, decides);
            if state.is_blank() {
                scopes.remove(name);
            }
            change
        } else if matches!(mark, Mark::Bad(_) | Mark::Hold(_)) {
            if scopes.len() >= MAX_SCOPES {
                scopes.retain(|_, state| !state.is_closed());
            }
            if scopes.len() >= MAX_SCOPES {
                return;
            }
            let mut state = Scope::new();
            let change = state.settle(mark, false);
            scopes.insert(name.into(), state);
            change
        } else {
            None
        };
        drop(scopes);
        let (store, scope) = (&self.store, scope.as_str());
        match change {
            Some(Change::Opened) => {
                tracing::warn!(%store, scope, "circuit breaker opened; calls of this scope are suspended");
            }
            Some(Change::Closed) => tracing::info!(%store, scope, "circuit breaker closed"),
            None => {}
        }
    }

    fn settle_server(self: &Arc<Self>, failure: Option<Failure>) {
        let Some(probe) = &self.probe else { return };
        if lock(&self.server).settle(failure) {
            let task = tokio::spawn(follow(Arc::downgrade(self), probe.clone()));
            *lock(&self.probing) = Some(task.abort_handle());
        }
    }

    /// Notes what came of a probe; how long until the next one, none where none is needed.
    fn probed(&self, serves: bool) -> Option<Duration> {
        let probed = lock(&self.server).probed(serves);
        let store = &self.store;
        match probed {
            Probed::Trusted => None,
            Probed::Closed => {
                // What was in trouble with the server is not so any more.
                lock(&self.scopes).clear();
                tracing::info!(%store, scope = "server", "circuit breaker closed");
                None
            }
            Probed::Opened(pause) => {
                tracing::warn!(%store, scope = "server", "circuit breaker opened; calls to the store are suspended");
                Some(pause)
            }
            Probed::StillOpen(pause) => Some(pause),
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
async fn follow(breakers: Weak<Breakers>, probe: Arc<dyn Probe>) {
    loop {
        let serves = probe.serves().await;
        let Some(pause) = breakers.upgrade().and_then(|breakers| breakers.probed(serves)) else { return };
        sleep(pause).await;
    }
}

/// Which of a call's levels it decides, being the one call that a half-open breaker lets through.
#[derive(Clone, Copy)]
struct Decides {
    mount: bool,
    path: bool,
}

/// The permission to make one call. Dropped without a verdict, a deciding call lets another one decide.
pub(super) struct Pass<'a> {
    breakers: &'a Arc<Breakers>,
    target: Target<'a>,
    decides: Option<Decides>,
}

impl Pass<'_> {
    /// Says what came of the call.
    pub(super) fn settle(mut self, verdict: Verdict) {
        let Some(decides) = self.decides.take() else { return };
        let (target, whole) = (self.target, Mark::Bad(Failure::Whole));
        if let Some(path) = target.path {
            let mark = match verdict {
                Verdict::Served => Mark::Good,
                Verdict::Failed | Verdict::Late => whole,
                Verdict::Limited(_) => Mark::Neutral,
            };
            self.breakers.settle_scope(BreakerScope::Path, path, mark, decides.path);
        }
        let mark = match verdict {
            Verdict::Served => Mark::Good,
            Verdict::Failed | Verdict::Limited(None) => whole,
            Verdict::Late => Mark::Bad(target.asked.map_or(Failure::Whole, |asked| Failure::Part(digest(asked)))),
            Verdict::Limited(Some(wait)) => Mark::Hold(wait),
        };
        self.breakers.settle_scope(BreakerScope::Mount, target.mount, mark, decides.mount);
        self.breakers.settle_server(match verdict {
            Verdict::Served | Verdict::Limited(_) => None,
            Verdict::Failed => Some(Failure::Whole),
            Verdict::Late => Some(Failure::Part(digest(target.mount))),
        });
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let Some(decides) = self.decides.take() else { return };
        let mut scopes = lock(&self.breakers.scopes);
        for (name, decides) in [(Some(self.target.mount), decides.mount), (self.target.path, decides.path)] {
            if let Some(state) = name.filter(|_| decides).and_then(|name| scopes.get_mut(name)) {
                state.give_up();
            }
        }
    }
}

impl<'a> Target<'a> {
    /// Calls that all ask the same, such as logins.
    pub(super) const fn group(name: &'a str) -> Self {
        Self { mount: name, path: None, asked: None }
    }

    fn scopes(self) -> impl Iterator<Item = (BreakerScope, &'a str)> {
        let path = self.path.map(|path| (BreakerScope::Path, path));
        std::iter::once((BreakerScope::Mount, self.mount)).chain(path)
    }
}

/// Tells parts from each other; it need not resist anybody.
fn digest(name: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

/// A panic while one was held leaves it whole: every change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
