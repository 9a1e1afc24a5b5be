//! Revokes the leases of ended pods: polls the pods that hold leases, one after the other. Also records lease events.

use super::pipeline::Broker;
use crate::attest::AttestError;
use crate::audit::{AuditLog, Event};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Caller;
use crate::model::secret_ref::SecretVersion;
use crate::stores::{LeaseEvent, LeaseEventKind, LeaseEventRecorder, RecordingError};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Minimum interval between two rounds over all pods.
const MIN_ROUND_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between two pods, to leave capacity of the API server to builds.
const PAUSE_BETWEEN_PODS: Duration = Duration::from_millis(50);
/// Number of consecutive failures that end a round, because they indicate a failing API server.
const MAX_CONSECUTIVE_FAILURES: usize = 3;

impl Broker {
    /// Revokes the leases of pods that have ended. Never returns unless there is no cluster. Clusters are polled concurrently, so
    /// that an unreachable one does not delay the others.
    pub async fn follow_holders(self: Arc<Self>) {
        join_all(self.stages.attestors.names().map(|issuer| self.follow_holders_of_cluster(issuer))).await;
    }

    async fn follow_holders_of_cluster(&self, issuer: &str) {
        let holders = || {
            let mut holders = self.stages.stores.holders();
            holders.retain(|holder| *holder.issuer == *issuer);
            holders
        };
        let has_ended = |holder: Arc<Caller>| async move { self.stages.attestors.has_ended(&holder).await };
        poll_holders(holders, has_ended, |holder| self.stages.stores.revoke_leases_of(&holder.identity())).await;
    }

    /// Stops the renewal and revocation of leases. The leases stay recorded.
    pub async fn stop_leases(&self) {
        self.stages.stores.stop_leases().await;
    }
}

/// Polls the pods of one cluster, round after round, and calls `on_ended` for those that have ended.
async fn poll_holders<F, R>(holders: impl Fn() -> Vec<Arc<Caller>>, has_ended: F, on_ended: impl Fn(&Caller))
where
    F: Fn(Arc<Caller>) -> R,
    R: Future<Output = Result<bool, AttestError>>,
{
    // If failures end a round, the next one starts with the following pod, so that every pod is polled at some time.
    let mut first = 0;
    loop {
        let next_round = Instant::now() + MIN_ROUND_INTERVAL;
        let holders = holders();
        first %= holders.len().max(1);
        let mut failures = 0;
        for holder in holders.iter().cycle().skip(first).take(holders.len()) {
            first += 1;
            match has_ended(holder.clone()).await {
                Ok(has_ended) => {
                    failures = 0;
                    if has_ended {
                        on_ended(holder);
                    }
                }
                Err(_) => failures += 1,
            }
            if failures == MAX_CONSECUTIVE_FAILURES {
                break;
            }
            sleep(PAUSE_BETWEEN_PODS).await;
        }
        sleep_until(next_round).await;
    }
}

/// Records lease events in the audit log.
pub struct LeaseRecorder(AuditLog);

impl LeaseRecorder {
    #[must_use]
    pub const fn new(audit: AuditLog) -> Self {
        Self(audit)
    }
}

#[async_trait]
impl LeaseEventRecorder for LeaseRecorder {
    async fn record(&self, event: LeaseEvent) -> Result<(), RecordingError> {
        self.0.record(audit_event(event)).await.map_err(|_| RecordingError)
    }

    async fn record_eventually(&self, event: LeaseEvent) {
        let event = audit_event(event);
        if self.0.record(event.clone()).await.is_err() {
            self.0.record_later(event);
        }
    }
}

/// The audit event of a lease event. A dynamic secret has no version, so the event has the lease ID in its place.
fn audit_event(event: LeaseEvent) -> Event {
    let (kind, outcome) = match event.kind {
        LeaseEventKind::Acquired => (EventType::LeaseAcquired, Outcome::Ok),
        LeaseEventKind::Renewed => (EventType::LeaseRenewed, Outcome::Ok),
        LeaseEventKind::Revoked => (EventType::LeaseRevoked, Outcome::Ok),
        LeaseEventKind::Failed => (EventType::LeaseFailed, Outcome::Failed),
    };
    let mut audit_event = Event::new(kind, outcome);
    audit_event.reason = event.reason;
    audit_event.caller = event.caller;
    audit_event.secrets = [SecretVersion { secret: event.secret, version: Some(event.id.to_string()) }].into();
    audit_event.request_id = event.request_id;
    audit_event
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::time::timeout;

    fn pod(number: usize) -> Arc<Caller> {
        Arc::new(Caller {
            issuer: "cluster".into(),
            subject: number.to_string(),
            groups: Vec::new(),
            workload: None,
            unbound_account: None,
            claims: serde_json::Map::new(),
        })
    }

    /// The numbers of the pods that were polled within this many seconds, and of those that were reported as ended.
    async fn poll(
        pods: usize,
        seconds: u64,
        has_ended: impl Fn(usize) -> Result<bool, AttestError>,
    ) -> (Vec<usize>, Vec<usize>) {
        let (polled, ended) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let number = |holder: &Caller| holder.subject.parse::<usize>().unwrap();
        let has_ended = |holder: Arc<Caller>| {
            polled.lock().unwrap().push(number(&holder));
            std::future::ready(has_ended(number(&holder)))
        };
        let holders = || (0..pods).map(pod).collect();
        let polling = poll_holders(holders, has_ended, |holder| ended.lock().unwrap().push(number(holder)));
        assert!(timeout(Duration::from_secs(seconds), polling).await.is_err(), "polling does not end");
        (polled.into_inner().unwrap(), ended.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn each_round_polls_all_pods_and_reports_those_that_have_ended() {
        let (polled, ended) = poll(4, 7, |number| Ok(number == 2)).await;
        assert_eq!((polled, ended), (vec![0, 1, 2, 3, 0, 1, 2, 3], vec![2, 2]));
        assert_eq!(poll(0, 7, |_| Ok(true)).await, (vec![], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_cannot_be_looked_up_does_not_block_others() {
        let unknown = |number: usize| if number < 2 { Err(AttestError::Unavailable) } else { Ok(number == 3) };
        let (polled, ended) = poll(4, 2, unknown).await;
        assert_eq!((polled, ended), (vec![0, 1, 2, 3], vec![3]));
    }

    #[tokio::test(start_paused = true)]
    async fn consecutive_failures_end_a_round_and_the_next_one_starts_behind_them() {
        let (polled, ended) = poll(5, 12, |_| Err(AttestError::Unavailable)).await;
        assert_eq!((polled, ended), (vec![0, 1, 2, 3, 4, 0, 1, 2, 3], vec![]));
    }
}
