//! Two tasks: one renews and revokes leases that are due, the other sends heartbeats and checks the other processes.

use super::adopt::{HEARTBEAT_INTERVAL, Heartbeats};
use super::lease::{ADMINISTRATOR, Lease, LeaseState};
use super::manager::LeaseManager;
use crate::model::request_id::RequestId;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// Maximum number of claimed leases of one queue.
const MAX_CLAIMED_PER_QUEUE: usize = 8;
/// The interval of the check for revocations that other processes were asked for.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum wait while no lease is due.
const IDLE_WAIT: Duration = Duration::from_hours(1);

/// Renews and revokes due leases, until the task is aborted.
pub(super) async fn process_due(manager: Arc<LeaseManager>) {
    let mut running = FuturesUnordered::new();
    loop {
        for id in manager.index().claim_due(Instant::now(), MAX_CLAIMED_PER_QUEUE) {
            running.push(manager.run_next_step(id));
        }
        let due = manager.index().next_due(MAX_CLAIMED_PER_QUEUE).unwrap_or_else(|| Instant::now() + IDLE_WAIT);
        tokio::select! {
            Some(()) = running.next() => {}
            () = sleep_until(due) => {}
            () = manager.wake.notified() => {}
        }
    }
}

/// Sends heartbeats and checks the other processes, until the task is aborted. Separate from [`process_due`], so that this
/// process does not count as dead because of a slow store.
pub(super) async fn send_heartbeats(manager: Arc<LeaseManager>) {
    let (mut heartbeat, mut poll) = (interval(HEARTBEAT_INTERVAL), interval(POLL_INTERVAL));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heartbeats = Heartbeats::default();
    loop {
        tokio::select! {
            _ = poll.tick() => manager.revoke_requested().await,
            _ = heartbeat.tick() => manager.heartbeat(&mut heartbeats).await,
        }
    }
}

/// The next step for a lease.
enum NextStep {
    /// Begin the revocation, for this reason.
    End(&'static str),
    Wait(Instant),
    Renew,
    Revoke,
}

impl NextStep {
    fn for_lease(lease: &Lease, now: Instant, clusters: &BTreeSet<Arc<str>>) -> Self {
        match (lease.state, lease.deliver_by) {
            (LeaseState::Revoking | LeaseState::RevocationFailed, _) => Self::Revoke,
            // The store ends an expired lease itself; the revocation verifies it.
            (LeaseState::Active, _) if lease.lifetime.ends_at <= now => Self::End("expired"),
            (LeaseState::Active, Some(until)) if until <= now => Self::End("untaken"),
            (LeaseState::Active, Some(until)) => Self::Wait(until.min(lease.lifetime.ends_at)),
            (LeaseState::Active, None) if now < lease.first_renewal_at => Self::Wait(lease.first_renewal_at),
            (LeaseState::Active, None) if lease.is_worth_renewing(clusters) => Self::Renew,
            (LeaseState::Active, None) => Self::Wait(lease.lifetime.ends_at),
        }
    }
}

impl LeaseManager {
    /// Takes the next step for a claimed lease.
    async fn run_next_step(&self, id: Arc<str>) {
        let step = self.index().get(&id).map(|lease| NextStep::for_lease(lease, Instant::now(), &self.clusters));
        let Some(step) = step else { return };
        let due = match step {
            NextStep::End(reason) => {
                self.begin_revocation(&id, reason, None);
                Some(Instant::now())
            }
            NextStep::Wait(due) => Some(due),
            NextStep::Renew => Some(self.renew(&id, &RequestId::random()).await),
            NextStep::Revoke => self.try_revoke(&id).await,
        };
        if let Some(due) = due {
            self.index().release(&id, due);
        }
    }

    /// Revokes leases of this process that administrators asked other processes to revoke.
    async fn revoke_requested(&self) {
        self.drop_undelivered();
        match self.ledger.requested_revocations().await {
            Ok(requested) => {
                for (id, sealed) in requested {
                    let state = self.index().get(&id).map(|lease| lease.state);
                    if state == Some(LeaseState::Revoking) {
                        continue;
                    }
                    let request = sealed.and_then(|sealed| self.record_sealer.open_request(&id, &sealed));
                    match state {
                        Some(_) => self.begin_revocation(&id, ADMINISTRATOR, request),
                        None => self.report_unreadable_revocation(&id, request).await,
                    }
                }
            }
            Err(error) => tracing::debug!(kind = error.kind(), "leases to revoke could not be queried"),
        }
    }
}
