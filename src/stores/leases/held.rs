//! One lease as this process knows it: whom it is for, how long it lives, what is to be done with it next.

use crate::model::caller::{Caller, Identity};
use crate::model::lease::LeaseMode;
use crate::model::secret::SecretValue;
use crate::model::secret_ref::SecretRef;
use crate::model::write::Write;
use crate::stores::cache::sealed::Sealed;
use crate::stores::dynamic::Grant;
use crate::stores::path::StorePath;
use crate::stores::renewal::renew_after;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What one lease is looked up by: nobody but its holder finds one that is for a holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) store: Arc<str>,
    pub(super) path: StorePath,
    /// None where it is shared.
    pub(super) holder: Option<Identity>,
    /// With what it was made; another write makes something else.
    pub(super) write: Option<Write>,
}

/// How far a lease is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// It may be in use.
    Active,
    /// It is being taken back.
    Revoking,
    /// It could not be taken back six times in a row.
    RevocationFailed,
}

impl LeaseState {
    const ALL: [Self; 3] = [Self::Active, Self::Revoking, Self::RevocationFailed];

    /// The word in lists and records.
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

/// Why a lease is taken back, and who asked for it.
#[derive(Debug, Clone)]
pub(super) struct Why {
    pub(super) reason: &'static str,
    pub(super) by: Option<Arc<Caller>>,
}

/// For how long a lease lives, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    /// What was granted first; as much is asked for when it is renewed.
    pub(super) granted: Duration,
    /// Whether it is worth asking for more.
    pub(super) renewable: bool,
    pub(super) ends: Instant,
}

impl Term {
    /// Of what was granted in answer to a question put at `asked`: the answer is at least that old.
    pub(super) fn new(grant: Grant, asked: Instant) -> Self {
        Self { granted: grant.ttl, renewable: grant.renewable, ends: asked + grant.ttl }
    }

    /// When to look at it next: after about two thirds of what it was given, and not at the same moment for all that
    /// were given at once; at its end where there is no more to be had.
    pub(super) fn due(&self, asked: Instant) -> Instant {
        if !self.renewable {
            return self.ends;
        }
        asked + renew_after(self.ends.saturating_duration_since(asked))
    }

    /// After a renewal. A store that gives less than half of what it gave first has come to its maximum: then there is
    /// no more to be had, and another lease is to be made before this one ends.
    pub(super) fn renewed(self, grant: Grant, asked: Instant) -> Self {
        let ends = asked + grant.ttl;
        let more = grant.renewable && grant.ttl >= self.granted / 2 && ends > self.ends;
        Self { granted: self.granted, renewable: more, ends }
    }

    pub(super) fn left(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now)
    }

    /// Whether what is left is enough for a ticket that lives so long; half of what was granted always is, because more
    /// cannot be had for long.
    pub(super) fn is_enough(&self, life: Duration, now: Instant) -> bool {
        let left = self.left(now);
        left >= MIN_LEFT && left >= life.min(self.granted / 2)
    }
}

/// What has less left is not handed out any more.
pub(super) const MIN_LEFT: Duration = Duration::from_secs(1);

/// A lease.
pub(super) struct Held {
    pub(super) id: Arc<str>,
    pub(super) key: Key,
    pub(super) mode: LeaseMode,
    /// Whom it is for; none where it is shared.
    pub(super) holder: Option<Arc<Caller>>,
    pub(super) handle: Arc<SecretValue>,
    /// What it gives; none where it was adopted, as it is never handed out again.
    pub(super) values: Option<Arc<Sealed>>,
    /// The broker's session that it was made in.
    pub(super) session: u64,
    pub(super) term: Term,
    pub(super) state: LeaseState,
    /// Why it is taken back, once it is.
    pub(super) why: Option<Why>,
    /// How often in a row what was due has failed.
    pub(super) attempts: u32,
    pub(super) acquired_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// When it was last handed out.
    pub(super) used: Instant,
    /// Until when it waits for those it was made for; none once somebody has it.
    pub(super) untaken_until: Option<Instant>,
    /// When it is renewed for the first time, or ends.
    pub(super) planned: Instant,
}

impl Held {
    pub(super) fn secret(&self) -> SecretRef {
        SecretRef { store: self.key.store.clone(), path: self.key.path.as_str().to_owned() }
    }

    /// Whether somebody may be using it of whose end we shall hear. Only then is it renewed: of a caller without a pod, or of
    /// a cluster that is not configured any more, nobody tells us when it ends, and of a shared one that was adopted nobody
    /// knows whether it is used.
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
