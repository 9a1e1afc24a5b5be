//! Runs due renewals and revocations, and checks the other processes every few seconds.

use super::adopt::{HEARTBEAT_INTERVAL, Heartbeats};
use super::lease::{Lease, LeaseState};
use super::manager::LeaseManager;
use crate::model::request_id::RequestId;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// The maximum number of claimed leases of one lane.
const MAX_CLAIMED_PER_LANE: usize = 8;
/// The period of the check for revocations that other processes were asked for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The wait if no lease is due.
const IDLE_WAIT: Duration = Duration::from_hours(1);

/// Renews and revokes due leases, until the task is aborted.
pub(super) async fn process_due(manager: Arc<LeaseManager>) {
    let mut running = FuturesUnordered::new();
    loop {
        for id in manager.index().claim_due(Instant::now(), MAX_CLAIMED_PER_LANE) {
            running.push(manager.run_task(id));
        }
        let due = manager.index().next_due(MAX_CLAIMED_PER_LANE).unwrap_or_else(|| Instant::now() + IDLE_WAIT);
        tokio::select! {
            Some(()) = running.next() => {}
            () = sleep_until(due) => {}
            () = manager.wake.notified() => {}
        }
    }
}

/// Sends heartbeats and checks the other processes, until the task is aborted. It is separate from [`process_due`], so a slow
/// store does not make this process look dead.
pub(super) async fn watch(manager: Arc<LeaseManager>) {
    let (mut beat, mut look) = (interval(HEARTBEAT_INTERVAL), interval(POLL_INTERVAL));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Heartbeats::default();
    loop {
        tokio::select! {
            _ = look.tick() => manager.revoke_requested().await,
            _ = beat.tick() => manager.heartbeat(&mut watch).await,
        }
    }
}

/// The next step for a lease.
enum Task {
    End(&'static str),
    Wait(Instant),
    Renew,
    Revoke,
}

impl Task {
    fn next_for(lease: &Lease, now: Instant, clusters: &BTreeSet<Arc<str>>) -> Self {
        match (lease.state, lease.undelivered_until) {
            (LeaseState::Revoking | LeaseState::RevocationFailed, _) => Self::Revoke,
            // The store ends the lease itself. Whether it did is checked.
            (LeaseState::Active, _) if lease.lifetime.ends <= now => Self::End("expired"),
            (LeaseState::Active, Some(until)) if until <= now => Self::End("untaken"),
            (LeaseState::Active, Some(until)) => Self::Wait(until.min(lease.lifetime.ends)),
            (LeaseState::Active, None) if now < lease.next_action_at => Self::Wait(lease.next_action_at),
            (LeaseState::Active, None) if lease.is_worth_renewing(clusters) => Self::Renew,
            (LeaseState::Active, None) => Self::Wait(lease.lifetime.ends),
        }
    }
}

impl LeaseManager {
    /// Takes the next step for a claimed lease.
    async fn run_task(&self, id: Arc<str>) {
        let task = self.index().get(&id).map(|lease| Task::next_for(lease, Instant::now(), &self.clusters));
        let Some(task) = task else { return };
        let due = match task {
            Task::End(reason) => {
                self.begin_revocation(&id, reason, None);
                Some(Instant::now())
            }
            Task::Wait(due) => Some(due),
            Task::Renew => Some(self.renew(&id, &RequestId::random()).await),
            Task::Revoke => self.try_revoke(&id).await,
        };
        if let Some(due) = due {
            self.index().release(&id, due);
        }
    }

    /// Revokes leases of this process that administrators asked other processes to revoke.
    async fn revoke_requested(&self) {
        self.drop_undelivered();
        match self.ledger.requested_revocations().await {
            Ok(ids) => {
                for id in ids {
                    let state = self.index().get(&id).map(|lease| lease.state);
                    match state {
                        Some(LeaseState::Revoking) => {}
                        Some(_) => self.begin_revocation(&id, "administrator", None),
                        None => self.report_unreadable_revocation(&id).await,
                    }
                }
            }
            Err(error) => tracing::debug!(kind = error.kind(), "leases to revoke could not be queried"),
        }
    }
}
