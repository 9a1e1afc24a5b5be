//! One lease in this process: its key and holder, its lifetime and its state.

use super::revocation_request::RevocationRequest;
use crate::model::caller::{Caller, Identity};
use crate::model::lease::LeaseMode;
use crate::model::secret::SecretValue;
use crate::model::secret_ref::SecretRef;
use crate::model::write_body::WriteBody;
use crate::stores::cache::sealed::SealedSecret;
use crate::stores::dynamic_store::GrantedLifetime;
use crate::stores::renewal::renew_after;
use crate::stores::store_path::StorePath;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The key under which a lease is found. It includes the holder, so no other caller finds the lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LeaseKey {
    pub(super) store: Arc<str>,
    pub(super) path: StorePath,
    /// `None` for a shared lease.
    pub(super) holder: Option<Identity>,
    /// The body of the write that created the secret. Another body creates another secret.
    pub(super) write: Option<WriteBody>,
}

closed_enum! {
    pub enum LeaseState {
        /// In use.
        Active => "active",
        /// Being revoked.
        Revoking => "revoking",
        /// Six attempts to revoke it failed.
        RevocationFailed => "revocation_failed",
    }
}

/// The reason of a revocation that an administrator requested.
pub(super) const ADMINISTRATOR: &str = "administrator";

/// Why a lease is revoked.
#[derive(Debug, Clone)]
pub(super) struct RevocationReason {
    pub(super) reason: &'static str,
    /// With [`ADMINISTRATOR`], the request. `None` if it is not known who requested it: the row was marked by a replica of an
    /// earlier release, or cannot be opened.
    pub(super) request: Option<RevocationRequest>,
}

/// The lifetime of a lease, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeaseLifetime {
    /// The lifetime of the first grant. Renewals request the same lifetime.
    pub(super) granted: Duration,
    /// Whether the lease can be renewed again.
    pub(super) renewable: bool,
    pub(super) ends_at: Instant,
}

impl LeaseLifetime {
    /// The lifetime of the first grant, which begins with the request.
    pub(super) fn new(grant: GrantedLifetime, requested_at: Instant) -> Self {
        Self { granted: grant.ttl, renewable: grant.renewable, ends_at: requested_at + grant.ttl }
    }

    /// When to renew the lease: see [`renew_after`]. Its end, if it cannot be renewed.
    pub(super) fn renewal_time(&self, requested_at: Instant) -> Instant {
        if !self.renewable {
            return self.ends_at;
        }
        requested_at + renew_after(self.ends_at.saturating_duration_since(requested_at))
    }

    /// The lifetime after a renewal. If the store grants less than half of the first grant, the lease nears its maximum
    /// lifetime: it is not renewed again, and the next caller gets a new lease.
    pub(super) fn after_renewal(self, grant: GrantedLifetime, requested_at: Instant) -> Self {
        let ends_at = requested_at + grant.ttl;
        let renewable = grant.renewable && grant.ttl >= self.granted / 2 && ends_at > self.ends_at;
        Self { granted: self.granted, renewable, ends_at }
    }

    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.ends_at.saturating_duration_since(now)
    }

    /// Whether the remaining lifetime is enough for a ticket with this lifetime. For a longer ticket, half of the granted
    /// lifetime is enough, because a new lease would last at most twice as long. Less than [`MIN_REMAINING`] is never enough.
    pub(super) fn suffices_for(&self, lifetime: Duration, now: Instant) -> bool {
        let remaining = self.remaining(now);
        remaining >= MIN_REMAINING && remaining >= lifetime.min(self.granted / 2)
    }
}

/// Minimum remaining lifetime of an issued lease.
pub(super) const MIN_REMAINING: Duration = Duration::from_secs(1);

/// A lease of a dynamic secret.
pub(super) struct Lease {
    /// The broker's ID of the lease.
    pub(super) id: Arc<str>,
    pub(super) key: LeaseKey,
    pub(super) mode: LeaseMode,
    /// `None` for a shared lease.
    pub(super) holder: Option<Arc<Caller>>,
    /// The store's ID of the lease, with which it is renewed and revoked.
    pub(super) store_id: Arc<SecretValue>,
    /// The sealed secret. `None` for a lease that was adopted from another process. Such a lease is never issued again.
    pub(super) values: Option<Arc<SealedSecret>>,
    /// The number of the broker's login under which the lease was created. The store revokes the lease together with the token of
    /// this login.
    pub(super) login_number: u64,
    pub(super) lifetime: LeaseLifetime,
    pub(super) state: LeaseState,
    /// Set when the revocation begins.
    pub(super) revocation_reason: Option<RevocationReason>,
    /// Whether the store has confirmed the revocation. Only the record is left to be deleted.
    pub(super) is_revoked_at_store: bool,
    /// Number of failed attempts in a row to renew or revoke the lease.
    pub(super) attempts: u32,
    pub(super) acquired_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// When the lease was last issued, or acquired if no caller has received it yet.
    pub(super) last_issued_at: Instant,
    /// When the lease is revoked if no caller has received it. `None` once a caller has received it.
    pub(super) deliver_by: Option<Instant>,
    /// When the lease is renewed for the first time.
    pub(super) first_renewal_at: Instant,
}

impl Lease {
    pub(super) fn secret(&self) -> SecretRef {
        SecretRef { store: self.key.store.clone(), path: self.key.path.as_str().to_owned() }
    }

    /// Whether to renew the lease: only if the end of its holder can be detected, which is not possible for callers without a
    /// pod and for clusters that are no longer configured. An adopted shared lease is not renewed, because it is never issued
    /// again.
    pub(super) fn is_worth_renewing(&self, clusters: &BTreeSet<Arc<str>>) -> bool {
        self.lifetime.renewable
            && match &self.holder {
                Some(holder) => holder.workload.is_some() && clusters.contains(&holder.issuer),
                None => self.values.is_some(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn grant(seconds: u64) -> GrantedLifetime {
        GrantedLifetime { ttl: Duration::from_secs(seconds), renewable: true }
    }

    #[tokio::test(start_paused = true)]
    async fn renewal_times_are_before_the_end_and_random() {
        let now = Instant::now();
        let lifetime = LeaseLifetime::new(grant(60), now);
        let due: Vec<_> = (0..100).map(|_| lifetime.renewal_time(now) - now).collect();
        assert!(due.iter().all(|due| (Duration::from_secs(36)..=Duration::from_secs(42)).contains(due)), "{due:?}");
        assert!(due.iter().any(|one| *one != due[0]), "all at the same moment");
        let last = LeaseLifetime { renewable: false, ..lifetime };
        assert_eq!(last.renewal_time(now), lifetime.ends_at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_with_a_much_shorter_grant_is_the_last() {
        let now = Instant::now();
        let (lifetime, later) = (LeaseLifetime::new(grant(60), now), now + Duration::from_secs(40));
        let renewed = lifetime.after_renewal(grant(60), later);
        assert_eq!((renewed.ends_at, renewed.renewable), (later + MINUTE, true));
        for (seconds, renewable) in [(29, true), (20, true), (1, true), (60, false)] {
            let grant = GrantedLifetime { renewable, ..grant(seconds) };
            let last = lifetime.after_renewal(grant, later);
            assert_eq!((last.ends_at, last.renewable), (later + grant.ttl, false), "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_shorter_than_the_ticket_suffices_only_with_half_of_the_granted_lifetime() {
        let now = Instant::now();
        let lifetime = LeaseLifetime::new(grant(600), now);
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(lifetime.suffices_for(2 * MINUTE, at(480)));
        assert!(!lifetime.suffices_for(2 * MINUTE, at(481)));
        assert!(lifetime.suffices_for(100 * MINUTE, at(300)), "half of what was granted");
        assert!(!lifetime.suffices_for(100 * MINUTE, at(301)));
        assert!(lifetime.suffices_for(Duration::ZERO, at(599)));
        assert!(!lifetime.suffices_for(Duration::ZERO, at(600)), "it has ended");
    }
}
