//! Statuses of custom resources: written by one replica at a time, and only where they differ from what is there.

use super::policy_resources::Follower;
use crate::cluster::{CallFailure, Cluster, ClusterError, Lease, StatusWritten};
use crate::model::clock::Clock;
use crate::model::policy_resource::{ObservedStatus, ResourceKey};
use crate::policy::PendingStatus;
use futures_util::future::join_all;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// The lease of the writer.
const LEASE: &str = "claviger-policy-status";
/// How often the lease is looked at, and a write that failed is tried again.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How long changes are collected.
const BATCH_WINDOW: Duration = Duration::from_millis(100);
/// How many are written at once.
const MAX_CONCURRENT_WRITES: usize = 8;
/// How long the status of an object stays as it was written, if something else overwrites it: another installation that reads the
/// same objects would do so each time.
const REWRITE_AFTER: Duration = Duration::from_secs(10);

/// Writes until the process stops.
pub async fn write(follower: Follower, clock: Arc<dyn Clock>, mut stopped: watch::Receiver<bool>) {
    let lease = follower.cluster.lease(LEASE);
    let mut writer = Writer { follower, clock, lease, written: HashMap::new(), told: false };
    let mut changes = writer.follower.register.status_changes();
    let mut look = interval(POLL_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            // The register lives as long as this task.
            _ = changes.changed() => sleep(BATCH_WINDOW).await,
            () = &mut stop => break,
        }
        tokio::select! {
            () = writer.write_pending() => {}
            () = &mut stop => break,
        }
    }
    writer.lease.release(writer.clock.now()).await;
}

struct Writer {
    follower: Follower,
    clock: Arc<dyn Clock>,
    lease: Lease,
    /// What was written lately, and when.
    written: HashMap<ResourceKey, (Instant, PendingStatus)>,
    /// Whether a failure was logged that has not ended.
    told: bool,
}

impl Writer {
    async fn write_pending(&mut self) {
        match self.lease.hold(self.clock.now()).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.log_failure(&error.to_string()),
        }
        self.written.retain(|_, (at, _)| at.elapsed() < REWRITE_AFTER);
        let mut pending = self.follower.register.pending_statuses(&self.follower.name).await;
        pending.retain(|one| self.written.get(&one.key).is_none_or(|(_, last)| !is_already_written(last, one)));
        let mut failed = None;
        let now = self.clock.now();
        for chunk in pending.chunks(MAX_CONCURRENT_WRITES) {
            // Renewed when it is due.
            if !self.lease.hold(self.clock.now()).await.unwrap_or_else(|_| self.lease.is_held()) {
                return;
            }
            let writes = chunk.iter().map(|one| write_one(self.follower.cluster.clone(), one.clone(), now));
            for (one, observed, result) in join_all(writes).await {
                match result {
                    Ok(StatusWritten::Written) => {
                        self.written.insert(one.key.clone(), (Instant::now(), one.clone()));
                        let Follower { register, name, .. } = &self.follower;
                        register.record_written_status(name, &one.key, &one.uid, observed).await;
                    }
                    // Its deletion is on the way.
                    Ok(StatusWritten::Gone) => {}
                    // About this object alone, which must not keep the others from their statuses.
                    Err(error @ ClusterError::Unavailable(CallFailure::Status | CallFailure::Malformed)) => {
                        self.log_failure(&error.to_string());
                        self.written.insert(one.key.clone(), (Instant::now(), one.clone()));
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if failed.is_some() {
                break;
            }
        }
        match failed {
            Some(error) => self.log_failure(&error.to_string()),
            None if std::mem::take(&mut self.told) => {
                tracing::info!(cluster = &*self.follower.name, "statuses of custom resources are written again");
            }
            None => {}
        }
    }

    fn log_failure(&mut self, error: &str) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                cluster = &*self.follower.name,
                error,
                "statuses of custom resources cannot be written; the policies are in force all the same. Needed are patch of \
                 policies/status and clusterpolicies/status, and get, create and update of the lease {LEASE}"
            );
        }
    }
}

async fn write_one(
    cluster: Arc<Cluster>,
    one: PendingStatus,
    now: Timestamp,
) -> (PendingStatus, ObservedStatus, Result<StatusWritten, ClusterError>) {
    let observed = ObservedStatus { status: one.status.clone(), since: one.since.unwrap_or(now) };
    let result = cluster.apply_policy_status(&one.key, &one.uid, &observed).await;
    (one, observed, result)
}

/// Whether it was written already, for the same generation of the same object.
fn is_already_written(last: &PendingStatus, now: &PendingStatus) -> bool {
    last.uid == now.uid && last.status == now.status
}
