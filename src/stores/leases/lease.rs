//! One lease in this process: its key and holder, its lifetime and its state.

use crate::model::caller::{Caller, Identity};
use crate::model::lease::LeaseMode;
use crate::model::secret::SecretValue;
use crate::model::secret_ref::SecretRef;
use crate::model::write_body::WriteBody;
use crate::stores::cache::sealed::Sealed;
use crate::stores::dynamic::Grant;
use crate::stores::path::StorePath;
use crate::stores::renewal::renew_after;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The key of a lease. It includes the holder, so no other caller finds the lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LeaseKey {
    pub(super) store: Arc<str>,
    pub(super) path: StorePath,
    /// `None` for a shared lease.
    pub(super) holder: Option<Identity>,
    /// The body of the write that created it. Another body creates another secret.
    pub(super) write: Option<WriteBody>,
}

/// The state of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// In use.
    Active,
    /// Being revoked.
    Revoking,
    /// Six attempts to revoke it failed.
    RevocationFailed,
}

impl LeaseState {
    const ALL: [Self; 3] = [Self::Active, Self::Revoking, Self::RevocationFailed];

    /// The name in lists and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoking => "revoking",
            Self::RevocationFailed => "revocation_failed",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Why a lease is revoked, and on whose request.
#[derive(Debug, Clone)]
pub(super) struct RevocationReason {
    pub(super) reason: &'static str,
    pub(super) by: Option<Arc<Caller>>,
}

/// The lifetime of a lease, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    /// The first granted lifetime. A renewal asks for the same.
    pub(super) granted: Duration,
    /// Whether another renewal can extend it.
    pub(super) renewable: bool,
    pub(super) ends: Instant,
}

impl Term {
    /// A grant that was requested at `asked`; the lifetime counts from then.
    pub(super) fn new(grant: Grant, asked: Instant) -> Self {
        Self { granted: grant.ttl, renewable: grant.renewable, ends: asked + grant.ttl }
    }

    /// When it is due: see [`renew_after`]; at its end if it cannot be renewed.
    pub(super) fn due(&self, asked: Instant) -> Instant {
        if !self.renewable {
            return self.ends;
        }
        asked + renew_after(self.ends.saturating_duration_since(asked))
    }

    /// The term after a renewal. A grant of less than half of the first one shows that the lease nears its maximum lifetime:
    /// it is not renewed again, and a new lease is created before this one ends.
    pub(super) fn renewed(self, grant: Grant, asked: Instant) -> Self {
        let ends = asked + grant.ttl;
        let more = grant.renewable && grant.ttl >= self.granted / 2 && ends > self.ends;
        Self { granted: self.granted, renewable: more, ends }
    }

    pub(super) fn left(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now)
    }

    /// Whether the remaining lifetime is enough for a ticket that lives for `life`. Half of the granted lifetime is always
    /// enough: the store does not grant more.
    pub(super) fn is_enough(&self, life: Duration, now: Instant) -> bool {
        let left = self.left(now);
        left >= MIN_LEFT && left >= life.min(self.granted / 2)
    }
}

/// Minimum remaining lifetime of an issued lease.
pub(super) const MIN_LEFT: Duration = Duration::from_secs(1);

/// A lease of a dynamic secret.
pub(super) struct Lease {
    pub(super) id: Arc<str>,
    pub(super) key: LeaseKey,
    pub(super) mode: LeaseMode,
    /// `None` for a shared lease.
    pub(super) holder: Option<Arc<Caller>>,
    pub(super) handle: Arc<SecretValue>,
    /// The sealed secret. `None` for an adopted lease, which is never issued again.
    pub(super) values: Option<Arc<Sealed>>,
    /// The broker's session in which it was created. It ends with it.
    pub(super) session: u64,
    pub(super) term: Term,
    pub(super) state: LeaseState,
    /// Set once it is being revoked.
    pub(super) revocation_reason: Option<RevocationReason>,
    /// Failed attempts in a row to renew or revoke it.
    pub(super) attempts: u32,
    pub(super) acquired_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// When it was last issued.
    pub(super) used: Instant,
    /// When it is revoked if no caller gets it. `None` after it was issued.
    pub(super) undelivered_until: Option<Instant>,
    /// When it is first renewed, or ends.
    pub(super) planned: Instant,
}

impl Lease {
    pub(super) fn secret(&self) -> SecretRef {
        SecretRef { store: self.key.store.clone(), path: self.key.path.as_str().to_owned() }
    }

    /// Whether to renew it: only while its holder may use it, and only if the end of the holder can be detected.
    /// It cannot be detected for callers without a pod and for clusters that are no longer configured. For an
    /// adopted shared lease it is unknown whether it is in use.
    pub(super) fn is_worth_renewing(&self, clusters: &BTreeSet<Arc<str>>) -> bool {
        self.term.renewable
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

    fn grant(seconds: u64) -> Grant {
        Grant { ttl: Duration::from_secs(seconds), renewable: true }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_in_time_and_not_all_at_once() {
        let now = Instant::now();
        let term = Term::new(grant(60), now);
        let due: Vec<_> = (0..100).map(|_| term.due(now) - now).collect();
        assert!(due.iter().all(|due| (Duration::from_secs(36)..=Duration::from_secs(42)).contains(due)), "{due:?}");
        assert!(due.iter().any(|one| *one != due[0]), "all at the same moment");
        let last = Term { renewable: false, ..term };
        assert_eq!(last.due(now), term.ends);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_gives_little_or_nothing_more_is_the_last() {
        let now = Instant::now();
        let (term, later) = (Term::new(grant(60), now), now + Duration::from_secs(40));
        let renewed = term.renewed(grant(60), later);
        assert_eq!((renewed.ends, renewed.renewable), (later + MINUTE, true));
        for (seconds, renewable) in [(29, true), (20, true), (1, true), (60, false)] {
            let grant = Grant { renewable, ..grant(seconds) };
            let last = term.renewed(grant, later);
            assert_eq!((last.ends, last.renewable), (later + grant.ttl, false), "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_dies_before_the_ticket_is_not_enough_unless_there_is_no_more_to_be_had() {
        let now = Instant::now();
        let term = Term::new(grant(600), now);
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(term.is_enough(2 * MINUTE, at(480)));
        assert!(!term.is_enough(2 * MINUTE, at(481)));
        assert!(term.is_enough(100 * MINUTE, at(300)), "half of what was granted");
        assert!(!term.is_enough(100 * MINUTE, at(301)));
        assert!(term.is_enough(Duration::ZERO, at(599)));
        assert!(!term.is_enough(Duration::ZERO, at(600)), "it has ended");
    }
}
