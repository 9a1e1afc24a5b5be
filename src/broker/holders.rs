//! Leases of ended pods are revoked: the pods that hold leases are polled, one after the other.

use super::pipeline::Broker;
use crate::attest::AttestError;
use crate::audit::{AuditLog, Event};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Caller;
use crate::model::secret_ref::SecretVersion;
use crate::stores::{LeaseEvent, LeaseEventKind, LeaseWitness, NotRecorded};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Minimum interval between two rounds over all pods.
const MIN_ROUND_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between two pods, to leave capacity of the API server to builds.
const PAUSE_BETWEEN_PODS: Duration = Duration::from_millis(50);
/// Number of consecutive failures that end a round: they indicate that the API server is failing, not a single
/// pod.
const MAX_CONSECUTIVE_FAILURES: usize = 3;

impl Broker {
    /// Revokes leases of pods that have ended. Runs until it is dropped, or returns if there is no cluster. Each cluster is
    /// polled independently, so that one that does not answer does not delay the others.
    pub async fn follow_holders(&self) {
        join_all(self.stages.attestors.names().map(|issuer| self.follow_holders_of(issuer))).await;
    }

    async fn follow_holders_of(&self, issuer: &str) {
        let holders = || {
            let mut holders = self.stages.stores.holders();
            holders.retain(|holder| *holder.issuer == *issuer);
            holders
        };
        let has_ended = |holder: Arc<Caller>| async move { self.stages.attestors.has_ended(&holder).await };
        poll_holders(holders, has_ended, |holder| self.stages.stores.holder_ended(&holder.identity())).await;
    }

    /// Stops the renewal and revocation of leases. They stay recorded.
    pub async fn stop_leases(&self) {
        self.stages.stores.stop_leases().await;
    }
}

/// Polls the pods of one cluster, round after round, and calls `ended` for those that have ended.
async fn poll_holders<L, A>(holders: impl Fn() -> Vec<Arc<Caller>>, has_ended: L, ended: impl Fn(&Caller))
where
    L: Fn(Arc<Caller>) -> A,
    A: Future<Output = Result<bool, AttestError>>,
{
    // The next round begins behind the last failure, so that every pod is polled.
    let mut first = 0;
    loop {
        let next = Instant::now() + MIN_ROUND_INTERVAL;
        let holders = holders();
        first %= holders.len().max(1);
        let mut failures = 0;
        for holder in holders.iter().cycle().skip(first).take(holders.len()) {
            first += 1;
            match has_ended(holder.clone()).await {
                Ok(has_ended) => {
                    failures = 0;
                    if has_ended {
                        ended(holder);
                    }
                }
                Err(_) => failures += 1,
            }
            if failures == MAX_CONSECUTIVE_FAILURES {
                break;
            }
            sleep(PAUSE_BETWEEN_PODS).await;
        }
        sleep_until(next).await;
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
impl LeaseWitness for LeaseRecorder {
    async fn record(&self, event: LeaseEvent) -> Result<(), NotRecorded> {
        self.0.record(audit_event(event)).await.map_err(|_| NotRecorded)
    }

    async fn keep(&self, event: LeaseEvent) {
        let event = audit_event(event);
        if self.0.record(event.clone()).await.is_err() {
            self.0.record_later(event);
        }
    }
}

/// A dynamic secret has no version: the lease id takes its place.
fn audit_event(event: LeaseEvent) -> Event {
    let (kind, outcome) = match event.kind {
        LeaseEventKind::Acquired => (EventType::LeaseAcquired, Outcome::Ok),
        LeaseEventKind::Renewed => (EventType::LeaseRenewed, Outcome::Ok),
        LeaseEventKind::Revoked => (EventType::LeaseRevoked, Outcome::Ok),
        LeaseEventKind::Failed => (EventType::LeaseFailed, Outcome::Failed),
    };
    let mut audited = Event::new(kind, outcome);
    audited.reason = event.reason;
    audited.caller = event.caller;
    audited.secrets = vec![SecretVersion { secret: event.secret, version: Some(event.id.to_string()) }];
    audited.request_id = event.request;
    audited
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
            unbound: None,
            claims: serde_json::Map::new(),
        })
    }

    /// The pods that were polled, and those that ended, within this many seconds.
    async fn followed(
        pods: usize,
        seconds: u64,
        has_ended: impl Fn(usize) -> Result<bool, AttestError>,
    ) -> (Vec<usize>, Vec<usize>) {
        let (looked, ended) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let number = |holder: &Caller| holder.subject.parse::<usize>().unwrap();
        let ask = |holder: Arc<Caller>| {
            looked.lock().unwrap().push(number(&holder));
            std::future::ready(has_ended(number(&holder)))
        };
        let holders = || (0..pods).map(pod).collect();
        let following = poll_holders(holders, ask, |holder| ended.lock().unwrap().push(number(holder)));
        assert!(timeout(Duration::from_secs(seconds), following).await.is_err(), "it goes on");
        (looked.into_inner().unwrap(), ended.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn each_round_looks_at_all_and_tells_of_those_that_have_ended() {
        let (looked, ended) = followed(4, 7, |number| Ok(number == 2)).await;
        assert_eq!((looked, ended), (vec![0, 1, 2, 3, 0, 1, 2, 3], vec![2, 2]));
        assert_eq!(followed(0, 7, |_| Ok(true)).await, (vec![], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_cannot_be_looked_at_holds_up_no_other() {
        let unknown = |number: usize| if number < 2 { Err(AttestError::Unavailable) } else { Ok(number == 3) };
        let (looked, ended) = followed(4, 2, unknown).await;
        assert_eq!((looked, ended), (vec![0, 1, 2, 3], vec![3]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_in_trouble_ends_a_round_and_the_next_goes_on_behind_it() {
        let (looked, ended) = followed(5, 12, |_| Err(AttestError::Unavailable)).await;
        assert_eq!((looked, ended), (vec![0, 1, 2, 3, 4, 0, 1, 2, 3], vec![]));
    }
}
