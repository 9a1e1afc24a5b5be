//! What others are told of a lease, so that it stands in the audit log. This room knows no audit log.

use crate::model::caller::Caller;
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretRef;
use async_trait::async_trait;
use std::sync::Arc;

/// What happened to a lease.
#[derive(Debug, Clone)]
pub struct LeaseEvent {
    /// What.
    pub kind: LeaseEventKind,
    /// Our id of it.
    pub id: Arc<str>,
    /// What was made.
    pub secret: SecretRef,
    /// Whom it was made for; of a revocation that somebody asked for, who did.
    pub caller: Option<Arc<Caller>>,
    /// Why, from a closed set of words.
    pub reason: Option<&'static str>,
    /// The request that it was made for.
    pub request: Option<RequestId>,
}

/// The kinds of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEventKind {
    /// It was made.
    Acquired,
    /// It was prolonged.
    Renewed,
    /// It was taken back, or has ended and the store knows no more of it.
    Revoked,
    /// It could not be prolonged or taken back.
    Failed,
}

/// It is not on record, so that nobody may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease cannot be recorded")]
pub struct NotRecorded;

/// Whoever records what happens to leases.
#[async_trait]
pub trait LeaseWitness: Send + Sync + 'static {
    /// Makes an event durable, before what it speaks of is handed out.
    ///
    /// # Errors
    /// When it is not durable.
    async fn record(&self, event: LeaseEvent) -> Result<(), NotRecorded>;

    /// Makes an event durable, now or as soon as that can be done: for what has happened.
    async fn keep(&self, event: LeaseEvent);
}
