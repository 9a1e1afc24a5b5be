//! Adopts the leases of processes that ended: of those that signed off, and of those whose heartbeat stopped.

use super::event_recorder::LeaseEventKind;
use super::lease::{ADMINISTRATOR, Lease, LeaseState, RevocationReason};
use super::ledger::LeaseProcess;
use super::manager::LeaseManager;
use super::record::LeaseRecord;
use super::revocation_request::RevocationRequest;
use super::revoke::ATTEMPTS_BEFORE_FAILED;
use crate::database::DatabaseError;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The interval of this process's heartbeat, and of the checks of other processes.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// A process whose heartbeat has not changed for this time counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// After a longer gap between two checks, the earlier observations are discarded.
const MAX_CHECK_GAP: Duration = Duration::from_secs(2 * HEARTBEAT_INTERVAL.as_secs());

/// The observed heartbeats of other processes.
#[derive(Default)]
pub(super) struct Heartbeats {
    /// For each process, its heartbeat and the time since when it is unchanged, by the clock of this process.
    observed: HashMap<String, (i64, Instant)>,
    last_check: Option<Instant>,
    /// The authenticators whose unrenewable leases were already logged.
    reported: BTreeSet<Arc<str>>,
}

impl Heartbeats {
    /// Updates the observations. Returns the names of dead processes.
    fn update(&mut self, others: Vec<LeaseProcess>, now: Instant) -> Vec<String> {
        let has_gap = self.last_check.replace(now).is_none_or(|last_check| now - last_check > MAX_CHECK_GAP);
        let mut observed = HashMap::with_capacity(others.len());
        let mut dead = Vec::new();
        for LeaseProcess { name, heartbeat } in others {
            let Some(heartbeat) = heartbeat else {
                dead.push(name);
                continue;
            };
            let since = match self.observed.get(&name) {
                Some((before, since)) if *before == heartbeat && !has_gap => *since,
                _ => now,
            };
            if now - since >= DEAD_AFTER {
                dead.push(name.clone());
            }
            observed.insert(name, (heartbeat, since));
        }
        self.observed = observed;
        dead
    }
}

impl LeaseManager {
    /// Sends a heartbeat and adopts the leases of dead processes.
    pub(super) async fn heartbeat(&self, heartbeats: &mut Heartbeats) {
        if let Err(error) = self.try_heartbeat(heartbeats).await {
            tracing::warn!(kind = error.kind(), "lease records could not be read or written");
        }
        self.report_unrenewable(&mut heartbeats.reported);
    }

    async fn try_heartbeat(&self, heartbeats: &mut Heartbeats) -> Result<(), DatabaseError> {
        if !self.ledger.increment_heartbeat().await? {
            // The last heartbeat was so long ago that other processes have adopted the leases of this one.
            tracing::warn!("another process adopted the leases of this one");
            for lease in self.index().clear().into_iter().filter(|lease| lease.state == LeaseState::Active) {
                self.metrics.decrement_active_leases(&lease.key.store);
            }
            self.ledger.take_new_identity();
        }
        let others = self.ledger.other_processes().await?;
        for owner in heartbeats.update(others, Instant::now()) {
            let records = self.ledger.adopt(&owner).await?;
            let mut adopted = 0;
            for record in records.iter().filter(|record| !self.is_registered(&record.id)) {
                adopted += usize::from(self.restore_record(record));
            }
            if adopted > 0 {
                tracing::info!(leases = adopted, "adopted leases of another process");
            }
        }
        self.restore().await
    }

    /// Adds the lease of a record to the index. Returns false if the record cannot be opened.
    pub(super) fn restore_record(&self, record: &LeaseRecord) -> bool {
        let Ok(lease) = self.record_sealer.open(record, self.clock.now()) else {
            if self.unreadable_ids().insert(record.id.as_str().into()) {
                tracing::error!(lease = record.id, "a lease record could not be decrypted; it cannot be revoked");
            }
            return false;
        };
        self.unreadable_ids().remove(record.id.as_str());
        let request = record.revoked_by.as_deref();
        let request = request.and_then(|sealed| self.record_sealer.open_request(&record.id, sealed));
        self.restore_lease(lease, request);
        true
    }

    fn restore_lease(&self, mut lease: Lease, request: Option<RevocationRequest>) {
        let now = Instant::now();
        let due = match lease.state {
            LeaseState::Active if lease.is_worth_renewing(&self.clusters) => lease.lifetime.renewal_time(now),
            LeaseState::Active => lease.lifetime.ends_at,
            LeaseState::Revoking | LeaseState::RevocationFailed => {
                let reason = if request.is_some() { ADMINISTRATOR } else { "adopted" };
                lease.revocation_reason = Some(RevocationReason { reason, request });
                // If the revocation has failed before, that is already logged.
                lease.attempts = if lease.state == LeaseState::Revoking { 0 } else { ATTEMPTS_BEFORE_FAILED };
                now
            }
        };
        if !self.sources.contains_key(&lease.key.store) {
            let event = Self::new_event(&lease, LeaseEventKind::Failed, Some("store_unknown"));
            let recorder = self.event_recorder.clone();
            // Not awaited: thousands of such events would delay the heartbeat until another process adopts all leases.
            tokio::spawn(async move { recorder.record_eventually(event).await });
        }
        lease.first_renewal_at = due;
        self.insert(lease, due, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes(heartbeat: Option<i64>) -> Vec<LeaseProcess> {
        vec![LeaseProcess { name: "other".into(), heartbeat }]
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_heartbeat_stops_counts_as_dead_after_15_seconds() {
        let (mut heartbeats, start) = (Heartbeats::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (beat, seconds, dead) in [(1, 0, 0), (2, 5, 0), (3, 10, 0), (3, 15, 0), (3, 20, 0), (3, 24, 0), (3, 25, 1)]
        {
            assert_eq!(heartbeats.update(processes(Some(beat)), at(seconds)).len(), dead, "{beat} at {seconds}");
        }
        assert_eq!(heartbeats.update(processes(None), at(26)).len(), 1, "it signed off");
    }

    #[tokio::test(start_paused = true)]
    async fn no_process_counts_as_dead_after_a_gap_between_checks() {
        let (mut heartbeats, start) = (Heartbeats::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (seconds, dead) in [(0, 0), (60, 0), (65, 0), (70, 0), (75, 1)] {
            assert_eq!(heartbeats.update(processes(Some(1)), at(seconds)).len(), dead, "at {seconds}");
        }
    }
}
