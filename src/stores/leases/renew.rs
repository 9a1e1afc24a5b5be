//! Renews leases that may be in use, as long as the store allows.

use super::lease::Lease;
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

/// Minimum wait after a renewal, and the first wait after a failed one.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait after failures in a row.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

impl LeaseManager {
    /// Renews a lease for a waiting caller, unless it is claimed.
    pub(super) async fn renew_now(&self, id: &Arc<str>, request: &RequestId) {
        if self.index().claim(id) {
            let due = self.renew(id, request).await;
            self.index().release(id, due);
            self.sooner.notify_one();
        }
    }

    /// Renews a claimed lease. Returns when it is due next.
    pub(super) async fn renew(&self, id: &str, request: &RequestId) -> Instant {
        let asked = Instant::now();
        let Some((store, handle, granted)) = self.of_renewal(id) else { return asked };
        let answer = match self.sources.get(&store) {
            Some(source) => source.store.renew(&handle, granted, request).await,
            None => Err(ReadError::Misconfigured),
        };
        let outcome = if answer.is_ok() { Outcome::Ok } else { Outcome::Failed };
        self.metrics.count_lease_renewal(&store, outcome);
        match answer {
            Ok(grant) => {
                let noted = {
                    let mut index = self.index();
                    let Some(lease) = index.get(id) else { return asked };
                    lease.attempts = 0;
                    lease.term = lease.term.renewed(grant, asked);
                    let ttl = SignedDuration::try_from(grant.ttl).unwrap_or(SignedDuration::ZERO);
                    let now = self.clock.now();
                    lease.expires_at = now.checked_add(ttl).unwrap_or(now);
                    let event = Self::event(lease, LeaseEventKind::Renewed, None);
                    (lease.term.due(asked).max(asked + SHORTEST_WAIT), lease.expires_at, event)
                };
                let (due, expires_at, event) = noted;
                self.record_end(id, expires_at).await;
                self.keep(event).await;
                due
            }
            Err(ReadError::Unavailable) => self.later(id),
            Err(error) => self.refused(id, error).await,
        }
    }

    fn of_renewal(&self, id: &str) -> Option<(Arc<str>, Arc<crate::model::secret::SecretValue>, Duration)> {
        let mut index = self.index();
        let lease: &Lease = index.get(id)?;
        Some((lease.key.store.clone(), lease.handle.clone(), lease.term.granted))
    }

    /// The result is unknown. It is tried again until the lease ends.
    fn later(&self, id: &str) -> Instant {
        let mut index = self.index();
        let Some(lease) = index.get(id) else { return Instant::now() };
        lease.attempts = lease.attempts.saturating_add(1);
        let base = SHORTEST_WAIT.saturating_mul(1 << (lease.attempts - 1).min(5)).min(LONGEST_BACKOFF);
        (Instant::now() + base.mul_f64(jitter(1.0..1.5))).min(lease.term.ends)
    }

    /// The store refuses to renew it. If the broker may not renew it, it lives to its end; otherwise the store does not know it
    /// any more.
    async fn refused(&self, id: &str, error: ReadError) -> Instant {
        let (event, ends) = {
            let mut index = self.index();
            let Some(lease) = index.get(id) else { return Instant::now() };
            lease.term.renewable = false;
            (Self::event(lease, LeaseEventKind::Failed, Some("renewal_refused")), lease.term.ends)
        };
        self.keep(event).await;
        if error == ReadError::Forbidden {
            return ends;
        }
        self.begin_revocation(id, "lost", None);
        Instant::now()
    }
}
