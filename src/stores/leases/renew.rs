//! Renews leases that may be in use, as long as the store allows.

use super::event_recorder::LeaseEventKind;
use super::lease::Lease;
use super::manager::LeaseManager;
use crate::metrics::labels::Outcome;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
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
            self.wake.notify_one();
        }
    }

    /// Renews a claimed lease. Returns when it is due next.
    pub(super) async fn renew(&self, id: &str, request: &RequestId) -> Instant {
        let requested_at = Instant::now();
        let Some((store, lease_id, granted)) = self.renewal_data(id) else { return requested_at };
        let response = match self.sources.get(&store) {
            Some(source) => source.store.renew(&lease_id, granted, request).await,
            None => Err(ReadError::Misconfigured),
        };
        let outcome = if response.is_ok() { Outcome::Ok } else { Outcome::Failed };
        self.metrics.count_lease_renewal(&store, outcome);
        match response {
            Ok(grant) => {
                let (due, expires_at, event) = {
                    let mut index = self.index();
                    let Some(lease) = index.get(id) else { return requested_at };
                    lease.attempts = 0;
                    lease.lifetime = lease.lifetime.renewed(grant, requested_at);
                    let ttl = SignedDuration::try_from(grant.ttl).unwrap_or(SignedDuration::ZERO);
                    let now = self.clock.now();
                    lease.expires_at = now.checked_add(ttl).unwrap_or(now);
                    let event = Self::event(lease, LeaseEventKind::Renewed, None);
                    (lease.lifetime.due(requested_at).max(requested_at + SHORTEST_WAIT), lease.expires_at, event)
                };
                self.record_expiry(id, expires_at).await;
                self.record_eventually(event).await;
                due
            }
            Err(ReadError::Unavailable) => self.retry_at(id),
            Err(error) => self.renewal_refused(id, error).await,
        }
    }

    fn renewal_data(&self, id: &str) -> Option<(Arc<str>, Arc<SecretValue>, Duration)> {
        let mut index = self.index();
        let lease: &Lease = index.get(id)?;
        Some((lease.key.store.clone(), lease.store_id.clone(), lease.lifetime.granted))
    }

    /// The time of the next attempt after an unknown result. Attempts continue until the lease ends.
    fn retry_at(&self, id: &str) -> Instant {
        let mut index = self.index();
        let Some(lease) = index.get(id) else { return Instant::now() };
        lease.attempts = lease.attempts.saturating_add(1);
        let base = SHORTEST_WAIT.saturating_mul(1 << (lease.attempts - 1).min(5)).min(LONGEST_BACKOFF);
        (Instant::now() + base.mul_f64(jitter(1.0..1.5))).min(lease.lifetime.ends)
    }

    /// Handles a refusal of the store. If the broker may not renew the lease, it is used to its end; otherwise the store does not
    /// know it any more, so it is revoked.
    async fn renewal_refused(&self, id: &str, error: ReadError) -> Instant {
        let (event, ends) = {
            let mut index = self.index();
            let Some(lease) = index.get(id) else { return Instant::now() };
            lease.lifetime.renewable = false;
            (Self::event(lease, LeaseEventKind::Failed, Some("renewal_refused")), lease.lifetime.ends)
        };
        self.record_eventually(event).await;
        if error == ReadError::Forbidden {
            return ends;
        }
        self.begin_revocation(id, "lost", None);
        Instant::now()
    }
}
