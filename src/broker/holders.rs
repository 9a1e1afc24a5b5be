//! Do those for whom something was made still need it: the pods that hold leases are looked at, one after the other.

use super::Broker;
use crate::audit::{AuditLog, Event};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::secret_ref::SecretVersion;
use crate::stores::{LeaseEvent, LeaseEventKind, LeaseWitness, NotRecorded};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// From one look at all of them to the next, at least.
const ROUND: Duration = Duration::from_secs(5);
/// From one pod to the next: builds that ask for secrets have the API server for themselves otherwise.
const BETWEEN: Duration = Duration::from_millis(50);

impl Broker {
    /// Takes back what was made for pods that have ended. Goes on until it is dropped.
    pub async fn follow_holders(&self) {
        loop {
            let next = Instant::now() + ROUND;
            for holder in self.parts.stores.holders() {
                match self.parts.attestors.has_ended(&holder).await {
                    Ok(true) => self.parts.stores.holder_ended(&holder.identity()),
                    Ok(false) => {}
                    // Nobody knows of the others either.
                    Err(_) => break,
                }
                sleep(BETWEEN).await;
            }
            sleep_until(next).await;
        }
    }

    /// Looks after leases no more; they stay on record.
    pub async fn leave_leases(&self) {
        self.parts.stores.leave_leases().await;
    }
}

/// Puts what happens to leases into the audit log.
pub struct LeaseRecorder(AuditLog);

impl LeaseRecorder {
    /// Into this one.
    #[must_use]
    pub const fn new(audit: AuditLog) -> Self {
        Self(audit)
    }
}

#[async_trait]
impl LeaseWitness for LeaseRecorder {
    async fn record(&self, event: LeaseEvent) -> Result<(), NotRecorded> {
        self.0.record(audited(event)).await.map_err(|_| NotRecorded)
    }

    async fn keep(&self, event: LeaseEvent) {
        let event = audited(event);
        if self.0.record(event.clone()).await.is_err() {
            self.0.record_later(event);
        }
    }
}

/// Our id of the lease stands where the version of a secret does: there is no other of what is made anew each time.
fn audited(event: LeaseEvent) -> Event {
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
