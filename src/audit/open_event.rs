//! An event that a verb opens on its first line and closes on every path out.

use super::log::AuditLog;
use super::port::{AuditUnavailable, Event, EventCommitError};
use crate::database::Step;
use crate::metrics::labels::Outcome;
use crate::traces::Stage;
use std::ops::{Deref, DerefMut};
use tokio::time::Instant;
use tracing::Instrument as _;

/// The event of a running verb. If it is dropped before it is closed, as in a panic, it is recorded as failed with the reason
/// `aborted`.
#[must_use]
pub struct OpenEvent {
    log: AuditLog,
    event: Option<Box<Event>>,
    opened: Instant,
}

impl OpenEvent {
    /// Opens an event.
    pub fn new(log: &AuditLog, event: Event) -> Self {
        Self { log: log.clone(), event: Some(Box::new(event)), opened: Instant::now() }
    }

    /// Makes the event durable.
    ///
    /// # Errors
    /// When the event is not durable. Nothing that it records may then be released.
    pub async fn close(mut self) -> Result<(), AuditUnavailable> {
        match self.take() {
            Some(event) => self.log.record(event).instrument(Stage::Audit.span()).await,
            None => Ok(()),
        }
    }

    /// Commits the event and a step in one transaction.
    ///
    /// # Errors
    /// See [`EventCommitError`]. `Rejected` returns the event, still open.
    pub async fn close_with(mut self, step: Step) -> Result<(), EventCommitError<Box<Self>>> {
        let Some(event) = self.take() else { return Ok(()) };
        match self.log.commit(event, Some(step)).instrument(Stage::Audit.span()).await {
            Ok(()) => Ok(()),
            Err(EventCommitError::Rejected(event)) => {
                self.event = Some(event);
                Err(EventCommitError::Rejected(Box::new(self)))
            }
            Err(EventCommitError::Failed(error)) => Err(EventCommitError::Failed(error)),
            Err(EventCommitError::Unknown(error)) => Err(EventCommitError::Unknown(error)),
        }
    }

    /// Makes the event of a change that has already happened durable, or queues it if that fails.
    ///
    /// # Errors
    /// When the event is only queued. If the first attempt was committed after all, the event is recorded twice.
    pub async fn close_or_queue(mut self) -> Result<(), AuditUnavailable> {
        let Some(event) = self.take() else { return Ok(()) };
        let recorded = self.log.record(event.clone()).instrument(Stage::Audit.span()).await;
        if recorded.is_err() {
            self.log.record_later(event);
        }
        recorded
    }

    /// Closes the event without writing it, because another event records the verb.
    pub fn discard(mut self) {
        self.event = None;
    }

    fn take(&mut self) -> Option<Box<Event>> {
        let mut event = self.event.take()?;
        event.took = self.opened.elapsed();
        Some(event)
    }
}

impl Deref for OpenEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        self.event.as_deref().unwrap_or_else(|| unreachable!("only close and discard empty it, and they consume it"))
    }
}

impl DerefMut for OpenEvent {
    fn deref_mut(&mut self) -> &mut Event {
        self.event
            .as_deref_mut()
            .unwrap_or_else(|| unreachable!("only close and discard empty it, and they consume it"))
    }
}

impl Drop for OpenEvent {
    fn drop(&mut self) {
        if let Some(mut event) = self.take() {
            event.outcome = Outcome::Failed;
            event.reason = Some("aborted");
            self.log.record_later(event);
        }
    }
}
