//! Writes the statuses of custom resources. One replica writes at a time, and only the statuses that differ.

use super::policy_resources::PolicyResourceWatcher;
use super::stop::{Stop, wait_for_stop};
use crate::cluster::{CallFailure, Cluster, LeaderLease, StatusWritten};
use crate::model::clock::Clock;
use crate::model::policy_resource::{ObservedStatus, ResourceKey};
use crate::policy::PendingStatus;
use futures_util::future::join_all;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Name of the Lease object that the writing replica holds.
pub(super) const POLICY_STATUS_LEASE: &str = "claviger-policy-status";
/// How often the lease is checked, and failed writes are retried.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How long changes are collected before they are written.
const BATCH_WINDOW: Duration = Duration::from_millis(100);
/// Maximum number of statuses that are written at once.
const MAX_CONCURRENT_WRITES: usize = 8;
/// Minimum interval between two writes of the same status to one object, if something else overwrites it. Two installations that
/// watch the same objects would otherwise overwrite each other without a pause.
const REWRITE_AFTER: Duration = Duration::from_secs(10);

/// Writes statuses until the process stops, then releases the lease.
pub async fn write_statuses(watcher: PolicyResourceWatcher, clock: Arc<dyn Clock>, stop: Stop) {
    let lease = watcher.cluster.leader_lease(POLICY_STATUS_LEASE);
    let mut writer = StatusWriter { watcher, clock, lease, recent_writes: HashMap::new(), is_failure_logged: false };
    let mut changes = writer.watcher.register.status_changes();
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = wait_for_stop(stop);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Does not fail: the sender lives as long as the register, which this task holds.
            _ = changes.changed() => sleep(BATCH_WINDOW).await,
            () = &mut stopped => break,
        }
        tokio::select! {
            () = writer.write_pending() => {}
            () = &mut stopped => break,
        }
    }
    writer.lease.release(writer.clock.now()).await;
}

struct StatusWriter {
    watcher: PolicyResourceWatcher,
    clock: Arc<dyn Clock>,
    lease: LeaderLease,
    /// The statuses that were written in the last [`REWRITE_AFTER`], and when.
    recent_writes: HashMap<ResourceKey, (Instant, PendingStatus)>,
    /// Whether writes fail at present, which was logged then.
    is_failure_logged: bool,
}

impl StatusWriter {
    async fn write_pending(&mut self) {
        match self.lease.acquire_or_renew(self.clock.now()).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.log_failure(&error.to_string()),
        }
        self.recent_writes.retain(|_, (written_at, _)| written_at.elapsed() < REWRITE_AFTER);
        let mut pending = self.watcher.register.pending_statuses(&self.watcher.name).await;
        pending
            .retain(|status| self.recent_writes.get(&status.key).is_none_or(|(_, last)| !is_same_status(last, status)));
        let mut last_error = None;
        let now = self.clock.now();
        for chunk in pending.chunks(MAX_CONCURRENT_WRITES) {
            // The lease is renewed here when that is due.
            if !self.lease.acquire_or_renew(self.clock.now()).await.unwrap_or_else(|_| self.lease.is_held()) {
                return;
            }
            let writes = chunk.iter().map(|status| write_status(self.watcher.cluster.clone(), status.clone(), now));
            for (status, observed, result) in join_all(writes).await {
                match result {
                    Ok(StatusWritten::Written) => {
                        self.recent_writes.insert(status.key.clone(), (Instant::now(), status.clone()));
                        let PolicyResourceWatcher { register, name, .. } = &self.watcher;
                        register.record_written_status(name, &status.key, &status.uid, observed).await;
                    }
                    // The watch will report its deletion.
                    Ok(StatusWritten::Gone) => {}
                    // The failure concerns only this object, so the statuses of the other objects are still written.
                    Err(error @ (CallFailure::Status | CallFailure::Malformed)) => {
                        self.log_failure(&error.to_string());
                        self.recent_writes.insert(status.key.clone(), (Instant::now(), status.clone()));
                    }
                    Err(error) => last_error = Some(error),
                }
            }
            if last_error.is_some() {
                break;
            }
        }
        match last_error {
            Some(error) => self.log_failure(&error.to_string()),
            None if std::mem::take(&mut self.is_failure_logged) => {
                tracing::info!(cluster = &*self.watcher.name, "statuses of custom resources can be written again");
            }
            None => {}
        }
    }

    fn log_failure(&mut self, error: &str) {
        if !std::mem::replace(&mut self.is_failure_logged, true) {
            tracing::warn!(
                cluster = &*self.watcher.name,
                error,
                "statuses of custom resources cannot be written; the policies are in force all the same. Needed are patch of \
                 policies/status and clusterpolicies/status, and get, create and update of the lease {POLICY_STATUS_LEASE}"
            );
        }
    }
}

async fn write_status(
    cluster: Arc<Cluster>,
    pending: PendingStatus,
    now: Timestamp,
) -> (PendingStatus, ObservedStatus, Result<StatusWritten, CallFailure>) {
    let observed = ObservedStatus { status: pending.status.clone(), since: pending.since.unwrap_or(now) };
    let result = cluster.apply_policy_status(&pending.key, &pending.uid, &observed).await;
    (pending, observed, result)
}

/// Whether both are the same status of the same object.
fn is_same_status(last: &PendingStatus, new: &PendingStatus) -> bool {
    last.uid == new.uid && last.status == new.status
}
