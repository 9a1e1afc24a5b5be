//! Renewing: a lease is prolonged while somebody may be using it, as far as the store will.

use super::held::Held;
use super::manager::LeaseManager;
use super::witness::LeaseEventKind;
use crate::metrics::labels::Outcome;
use crate::model::request_id::RequestId;
use crate::sealing::random::jitter;
use crate::stores::port::ReadError;
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The shortest wait after a renewal, whatever a store grants, and the first after one that failed.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The longest after several.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

impl LeaseManager {
    /// Renews a lease for somebody who waits, unless somebody else is at it.
    pub(super) async fn renew_now(&self, id: &Arc<str>, request: &RequestId) {
        if self.book().claim(id) {
            let due = self.renew(id, request).await;
            self.book().release(id, due);
            self.sooner.notify_one();
        }
    }

    /// Renews a lease that was claimed, and says when something is due next.
    pub(super) async fn renew(&self, id: &str, request: &RequestId) -> Instant {
        let asked = Instant::now();
        let Some((store, handle, granted)) = self.of_renewal(id) else { return asked };
        let answer = match self.sources.get(&store) {
            Some(source) => source.store.renew(&handle, granted, request).await,
            None => Err(ReadError::Misconfigured),
        };
        let outcome = if answer.is_ok() { Outcome::Ok } else { Outcome::Failed };
        self.metrics.lease_renewal(&store, outcome);
        match answer {
            Ok(grant) => {
                let noted = {
                    let mut book = self.book();
                    let Some(held) = book.get(id) else { return asked };
                    held.attempts = 0;
                    held.term = held.term.renewed(grant, asked);
                    let ttl = SignedDuration::try_from(grant.ttl).unwrap_or(SignedDuration::ZERO);
                    let now = self.clock.now();
                    held.expires_at = now.checked_add(ttl).unwrap_or(now);
                    let event = Self::event(held, LeaseEventKind::Renewed, None);
                    (held.term.due(asked).max(asked + SHORTEST_WAIT), held.expires_at, event)
                };
                let (due, expires_at, event) = noted;
                self.note_end(id, expires_at).await;
                self.keep(event).await;
                due
            }
            Err(ReadError::Unavailable) => self.later(id),
            Err(error) => self.refused(id, error).await,
        }
    }

    fn of_renewal(&self, id: &str) -> Option<(Arc<str>, Arc<crate::model::secret::SecretValue>, Duration)> {
        let mut book = self.book();
        let held: &Held = book.get(id)?;
        Some((held.key.store.clone(), held.handle.clone(), held.term.granted))
    }

    /// Nobody knows; it is tried again until the lease ends.
    fn later(&self, id: &str) -> Instant {
        let mut book = self.book();
        let Some(held) = book.get(id) else { return Instant::now() };
        held.attempts = held.attempts.saturating_add(1);
        let base = SHORTEST_WAIT.saturating_mul(1 << (held.attempts - 1).min(5)).min(LONGEST_BACKOFF);
        (Instant::now() + base.mul_f64(jitter(1.0..1.5))).min(held.term.ends)
    }

    /// The store does not prolong it. It knows of no such lease: then it is over. Or the broker may not: then it lives to
    /// its end.
    async fn refused(&self, id: &str, error: ReadError) -> Instant {
        let (event, ends) = {
            let mut book = self.book();
            let Some(held) = book.get(id) else { return Instant::now() };
            held.term.renewable = false;
            (Self::event(held, LeaseEventKind::Failed, Some("renewal_refused")), held.term.ends)
        };
        self.keep(event).await;
        if error == ReadError::Forbidden {
            return ends;
        }
        self.retire(id, "lost", None);
        Instant::now()
    }
}
