//! Adopts the leases of processes that ended: those that signed off, and those whose heartbeat stopped.

use super::event_recorder::LeaseEventKind;
use super::lease::{Lease, LeaseState, RevocationReason};
use super::ledger::LeaseProcess;
use super::manager::LeaseManager;
use super::record::LeaseRecord;
use super::revoke::ATTEMPTS_BEFORE_FAILED;
use crate::database::DatabaseError;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The period of this process's heartbeat, and of the check of the other processes.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A process whose heartbeat has not changed for this long is considered dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// After a longer gap between two checks, earlier observations are discarded.
const MAX_CHECK_GAP: Duration = Duration::from_secs(2 * HEARTBEAT_INTERVAL.as_secs());

/// The heartbeats of other processes, and since when each is unchanged, by our own clock.
#[derive(Default)]
pub(super) struct Heartbeats {
    seen: HashMap<String, (i64, Instant)>,
    last_check: Option<Instant>,
    /// The removed authenticators that were already logged.
    reported: BTreeSet<Arc<str>>,
}

impl Heartbeats {
    /// The names of dead processes.
    fn dead(&mut self, others: Vec<LeaseProcess>, now: Instant) -> Vec<String> {
        let has_gap = self.last_check.replace(now).is_none_or(|last_check| now - last_check > MAX_CHECK_GAP);
        let mut seen = HashMap::with_capacity(others.len());
        let mut dead = Vec::new();
        for LeaseProcess { name, beat } in others {
            let Some(beat) = beat else {
                dead.push(name);
                continue;
            };
            let since = match self.seen.get(&name) {
                Some((before, since)) if *before == beat && !has_gap => *since,
                _ => now,
            };
            if now - since >= DEAD_AFTER {
                dead.push(name.clone());
            }
            seen.insert(name, (beat, since));
        }
        self.seen = seen;
        dead
    }
}

impl LeaseManager {
    /// Sends a heartbeat and adopts the leases of dead processes.
    pub(super) async fn heartbeat(&self, watch: &mut Heartbeats) {
        if let Err(error) = self.try_heartbeat(watch).await {
            tracing::warn!(kind = error.kind(), "lease records could not be read or written");
        }
        self.report_orphans(&mut watch.reported);
    }

    async fn try_heartbeat(&self, watch: &mut Heartbeats) -> Result<(), DatabaseError> {
        if !self.ledger.increment_heartbeat().await? {
            // The previous heartbeat was so long ago that other processes have adopted our leases.
            tracing::warn!("another process adopted the leases of this one");
            for lease in self.index().clear().into_iter().filter(|lease| lease.state == LeaseState::Active) {
                self.metrics.decrement_active_leases(&lease.key.store);
            }
            self.ledger.take_new_identity();
        }
        let others = self.ledger.other_processes().await?;
        for owner in watch.dead(others, Instant::now()) {
            let records = self.ledger.adopt(&owner).await?;
            let mut adopted = 0;
            for record in &records {
                adopted += usize::from(self.restore_record(record).await);
            }
            if adopted > 0 {
                tracing::info!(leases = adopted, "adopted leases of another process");
            }
        }
        self.restore().await
    }

    /// Adds a recorded lease to the index. Returns whether its record could be opened.
    pub(super) async fn restore_record(&self, record: &LeaseRecord) -> bool {
        let Ok(lease) = self.records.open(record, self.clock.now()) else {
            if self.unreadable().insert(record.id.as_str().into()) {
                tracing::error!(lease = record.id, "a lease record could not be decrypted; it cannot be revoked");
            }
            return false;
        };
        self.unreadable().remove(record.id.as_str());
        self.restore_lease(lease).await;
        true
    }

    async fn restore_lease(&self, mut lease: Lease) {
        let now = Instant::now();
        let due = match lease.state {
            LeaseState::Active if lease.is_worth_renewing(&self.clusters) => lease.lifetime.due(now),
            LeaseState::Active => lease.lifetime.ends,
            LeaseState::Revoking | LeaseState::RevocationFailed => {
                lease.revocation_reason = Some(RevocationReason { reason: "adopted", by: None });
                // The failed revocation is already logged.
                lease.attempts = if lease.state == LeaseState::Revoking { 0 } else { ATTEMPTS_BEFORE_FAILED };
                now
            }
        };
        if !self.sources.contains_key(&lease.key.store) {
            self.record_eventually(Self::event(&lease, LeaseEventKind::Failed, Some("store_unknown"))).await;
        }
        lease.next_action_at = due;
        self.insert(lease, due, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(beat: Option<i64>) -> Vec<LeaseProcess> {
        vec![LeaseProcess { name: "other".into(), beat }]
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_heartbeat_stops_is_dead_after_a_while() {
        let (mut watch, start) = (Heartbeats::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (beat, seconds, dead) in [(1, 0, 0), (2, 5, 0), (3, 10, 0), (3, 15, 0), (3, 20, 0), (3, 24, 0), (3, 25, 1)]
        {
            assert_eq!(watch.dead(owner(Some(beat)), at(seconds)).len(), dead, "{beat} at {seconds}");
        }
        assert_eq!(watch.dead(owner(None), at(26)).len(), 1, "it said goodbye");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_between_our_own_checks_makes_no_process_dead() {
        let (mut watch, start) = (Heartbeats::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (seconds, dead) in [(0, 0), (60, 0), (65, 0), (70, 0), (75, 1)] {
            assert_eq!(watch.dead(owner(Some(1)), at(seconds)).len(), dead, "at {seconds}");
        }
    }
}
