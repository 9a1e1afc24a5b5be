//! Renews leases that may be in use, for as long as the store allows it.

use super::event_recorder::LeaseEventKind;
use super::lease::Lease;
use super::manager::LeaseManager;
use crate::metrics::labels::Outcome;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::port::ReadError;
use crate::stores::renewal::retry_pause;
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Minimum time between two renewals of a lease.
const MIN_RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

impl LeaseManager {
    /// Renews a lease for a waiting caller, unless it is claimed.
    pub(super) async fn renew_now(&self, id: &Arc<str>, request_id: &RequestId) {
        if self.index().claim(id) {
            let due = self.renew(id, request_id).await;
            self.index().release(id, due);
            self.wake.notify_one();
        }
    }

    /// Renews a claimed lease. Returns when the lease is due next.
    pub(super) async fn renew(&self, id: &str, request_id: &RequestId) -> Instant {
        let requested_at = Instant::now();
        let Some((store, lease_id, granted)) = self.renewal_data(id) else { return requested_at };
        let response = match self.sources.get(&store) {
            Some(source) => source.store.renew(&lease_id, granted, request_id).await,
            None => Err(ReadError::Misconfigured),
        };
        self.leave_store_queue(id);
        let outcome = if response.is_ok() { Outcome::Ok } else { Outcome::Failed };
        self.metrics.count_lease_renewal(&store, outcome);
        match response {
            Ok(grant) => {
                let (due, expires_at, event) = {
                    let mut index = self.index();
                    let Some(lease) = index.get(id) else { return requested_at };
                    lease.attempts = 0;
                    lease.lifetime = lease.lifetime.after_renewal(grant, requested_at);
                    let ttl = SignedDuration::try_from(grant.ttl).unwrap_or(SignedDuration::ZERO);
                    let now = self.clock.now();
                    lease.expires_at = now.checked_add(ttl).unwrap_or(now);
                    let event = Self::new_event(lease, LeaseEventKind::Renewed, None);
                    (
                        lease.lifetime.renewal_time(requested_at).max(requested_at + MIN_RENEWAL_INTERVAL),
                        lease.expires_at,
                        event,
                    )
                };
                self.record_expiry(id, expires_at).await;
                self.event_recorder.record_eventually(event).await;
                due
            }
            Err(ReadError::Unavailable) => self.retry_time(id),
            Err(error) => self.handle_refusal(id, error).await,
        }
    }

    fn renewal_data(&self, id: &str) -> Option<(Arc<str>, Arc<SecretValue>, Duration)> {
        let mut index = self.index();
        let lease: &Lease = index.get(id)?;
        Some((lease.key.store.clone(), lease.store_id.clone(), lease.lifetime.granted))
    }

    /// Returns when to retry after an unknown result. Attempts continue until the lease ends.
    fn retry_time(&self, id: &str) -> Instant {
        let mut index = self.index();
        let Some(lease) = index.get(id) else { return Instant::now() };
        lease.attempts = lease.attempts.saturating_add(1);
        (Instant::now() + retry_pause(lease.attempts)).min(lease.lifetime.ends_at)
    }

    /// Handles a refusal of the store, and returns when the lease is due next. If the broker is not allowed to renew the lease,
    /// it is used until its end. Otherwise the store does not know the lease any more, so it is revoked.
    async fn handle_refusal(&self, id: &str, error: ReadError) -> Instant {
        let (event, ends_at) = {
            let mut index = self.index();
            let Some(lease) = index.get(id) else { return Instant::now() };
            lease.lifetime.renewable = false;
            (Self::new_event(lease, LeaseEventKind::Failed, Some("renewal_refused")), lease.lifetime.ends_at)
        };
        self.event_recorder.record_eventually(event).await;
        if error == ReadError::Forbidden {
            return ends_at;
        }
        self.begin_revocation(id, "lost", None);
        Instant::now()
    }
}
