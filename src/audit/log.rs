//! The handle of the audit log. It queues events for the writer task and waits for the outcome.

use super::chain_hasher::ChainHasher;
use super::chain_writer::ChainWriter;
use super::checkpoint;
use super::port::{AuditUnavailable, Event, EventCommitError};
use super::queued_event::{MAX_QUEUED, QueuedEvent};
use super::reader::Reader;
use super::stdout::StdoutWriter;
use super::writer::Writer;
use crate::database::{Database, DatabaseError, Step};
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use futures_util::future::OptionFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Maximum time until the writer claims an event, and then again until it is committed.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// A handle of the audit log of this replica.
#[derive(Debug, Clone)]
pub struct AuditLog {
    queue: mpsc::Sender<QueuedEvent>,
    is_writable: Arc<AtomicBool>,
    reader: Reader,
    pub(super) stdout: Option<Arc<StdoutWriter>>,
    metrics: Arc<Metrics>,
}

impl AuditLog {
    /// Starts the writer task and a new chain, whose first event contains the hash of its predecessor in the log. The task ends
    /// when the last handle is dropped and all queued events are written.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open(
        database: &Database,
        stdout: bool,
        hasher: ChainHasher,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JoinHandle<()>), DatabaseError> {
        let (queue, events) = mpsc::channel(MAX_QUEUED);
        let hasher = Arc::new(hasher);
        let stdout = stdout.then(|| Arc::new(StdoutWriter::start()));
        let chain = ChainWriter::new(database.clone(), hasher.clone(), clock).await?;
        let (is_writable, recent) = (chain.writable().clone(), chain.recent().clone());
        let writer = Writer::new(chain, stdout.clone(), metrics.clone());
        let reader = Reader::new(database.clone(), hasher, writer.heads(), recent);
        let checkpoints = stdout
            .clone()
            .map(|stdout| checkpoint::print_checkpoints(writer.heads(), move |line| stdout.write_lines(line)));
        let task = tokio::spawn(async move {
            // The writer publishes its last head before it ends, so that the last checkpoint is printed.
            tokio::join!(writer.run(events), OptionFuture::from(checkpoints));
        });
        Ok((Self { queue, is_writable, reader, stdout, metrics }, task))
    }

    /// A reader of the log. It does not delay the writer, and does not keep it alive.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Makes an event durable.
    ///
    /// # Errors
    /// When the event is not known to be durable in time. It may be durable nevertheless.
    pub async fn record(&self, event: impl Into<Box<Event>>) -> Result<(), AuditUnavailable> {
        Ok(self.commit(event, None).await?)
    }

    /// Commits an event and its step in one transaction.
    ///
    /// # Errors
    /// See [`EventCommitError`].
    pub async fn commit(
        &self,
        event: impl Into<Box<Event>>,
        step: Option<Step>,
    ) -> Result<(), EventCommitError<Box<Event>>> {
        let (queued, mut outcome, claim) = QueuedEvent::awaited(event.into(), step);
        self.queue.try_send(queued).map_err(|_| EventCommitError::Failed(AuditUnavailable))?;
        // If the writer has ended without an outcome, it may have committed the event.
        let unknown = Err(EventCommitError::Unknown(AuditUnavailable));
        if let Ok(outcome) = timeout(MAX_WAIT, &mut outcome).await {
            return outcome.unwrap_or(unknown);
        }
        if claim.withdraw() {
            return Err(EventCommitError::Failed(AuditUnavailable));
        }
        // The writer has claimed the event, so the outcome is expected soon.
        timeout(MAX_WAIT, outcome)
            .await
            .map_or(unknown, |outcome| outcome.unwrap_or(Err(EventCommitError::Unknown(AuditUnavailable))))
    }

    /// Queues an event without waiting, for verbs that release nothing. If the queue is full, the event is logged and counted as
    /// lost.
    pub fn record_later(&self, event: impl Into<Box<Event>>) {
        let event = event.into();
        let kind = event.kind.as_str();
        if self.queue.try_send(QueuedEvent::not_awaited(event)).is_err() {
            self.metrics.count_lost_audit_events(1);
            tracing::error!(event = kind, "an audit event was lost; the queue is full or the writer has stopped");
        }
    }

    /// The number of queued events.
    #[must_use]
    pub fn queued_count(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the last attempt to write succeeded. After a failure the writer retries every second.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        !self.queue.is_closed() && self.is_writable.load(Ordering::Relaxed)
    }
}
