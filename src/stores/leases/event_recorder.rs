//! The port through which lease events reach the audit log, which `stores` does not know.

use crate::model::caller::Caller;
use crate::model::request_id::RequestId;
use crate::model::secret_ref::SecretRef;
use async_trait::async_trait;
use std::sync::Arc;

/// A change of a lease.
#[derive(Debug, Clone)]
pub struct LeaseEvent {
    /// The kind of change.
    pub kind: LeaseEventKind,
    /// The broker's id of the lease.
    pub id: Arc<str>,
    /// The store and the path.
    pub secret: SecretRef,
    /// The holder. For a requested revocation, the administrator, or `None` if it is not known who requested it.
    pub caller: Option<Arc<Caller>>,
    /// The reason, one of a closed set of words.
    pub reason: Option<&'static str>,
    /// The ID of the request that created the lease, or that asked for its revocation.
    pub request_id: Option<RequestId>,
}

/// The kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseEventKind {
    /// Created and issued.
    Acquired,
    /// Extended.
    Renewed,
    /// Revoked, or expired at the store.
    Revoked,
    /// Could not be renewed, revoked or used.
    Failed,
}

/// The event is not durable, so the lease must not be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease cannot be recorded")]
pub struct RecordingError;

/// Records lease events.
#[async_trait]
pub trait LeaseEventRecorder: Send + Sync + 'static {
    /// Makes an event durable before the lease is issued.
    ///
    /// # Errors
    /// The event is not durable.
    async fn record(&self, event: LeaseEvent) -> Result<(), RecordingError>;

    /// Makes an event durable now or as soon as possible. For changes that have already happened.
    async fn record_eventually(&self, event: LeaseEvent);
}
