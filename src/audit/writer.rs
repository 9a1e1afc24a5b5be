//! The writer task of a replica: takes all queued events, writes them as a group, and reports the outcomes.

use super::chain::{Head, Link};
use super::chain_writer::ChainWriter;
use super::port::{AuditUnavailable, EventCommitError};
use super::queued_event::{MAX_QUEUED, QueuedEvent};
use super::stdout::StdoutWriter;
use crate::database;
use crate::metrics::Metrics;
use crate::wire::audit_event::append_hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Maximum number of new events per commit, and of kept events that are added to it.
const MAX_GROUP: usize = 256;
/// Maximum pause before the write of failed events is retried. New events end the pause.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Interval of test writes while there are no events.
const WRITE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Writes the chain of this replica.
pub struct Writer {
    chain: ChainWriter,
    stdout: Option<Arc<StdoutWriter>>,
    metrics: Arc<Metrics>,
    /// Publishes the head after each commit.
    heads: watch::Sender<Head>,
    /// Failed events that no caller waits for, in the order of queueing. At most [`MAX_QUEUED`].
    kept: Vec<QueuedEvent>,
    /// Whether events of the last group are kept.
    has_failed: bool,
}

impl Writer {
    pub fn new(chain: ChainWriter, stdout: Option<Arc<StdoutWriter>>, metrics: Arc<Metrics>) -> Self {
        let heads = watch::Sender::new(chain.head().clone());
        Self { chain, stdout, metrics, heads, kept: Vec::new(), has_failed: false }
    }

    /// A receiver of the current head.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    /// Writes events until all handles of the log are dropped.
    pub async fn run(mut self, mut events: mpsc::Receiver<QueuedEvent>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        loop {
            let is_closed = timeout(self.max_wait(), events.recv_many(&mut group, MAX_GROUP)).await == Ok(0);
            // Claims the events, so that their callers can no longer withdraw them, and drops those that are already withdrawn.
            group.retain(QueuedEvent::claim);
            group.splice(..0, self.kept.drain(..MAX_GROUP.min(self.kept.len())));
            if !group.is_empty() {
                self.write(std::mem::take(&mut group)).await;
            } else if !is_closed {
                self.chain.set_writable(self.chain.can_write().await);
            }
            if is_closed && (self.kept.is_empty() || self.has_failed) {
                break;
            }
        }
        if !self.kept.is_empty() {
            self.metrics.count_lost_audit_events(self.kept.len());
            tracing::error!(
                lost = self.kept.len(),
                "audit events were lost; they could not be written before shutdown"
            );
        }
    }

    /// Maximum time to wait for new events.
    fn max_wait(&self) -> Duration {
        if self.has_failed || !self.chain.writable().load(Ordering::Relaxed) {
            RETRY_PAUSE
        } else if self.kept.is_empty() {
            WRITE_CHECK_INTERVAL
        } else {
            Duration::ZERO
        }
    }

    /// Writes a group and reports the outcomes. Keeps the events to retry.
    async fn write(&mut self, group: Vec<QueuedEvent>) {
        let mut to_retry = Vec::new();
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            match self.chain.write_group(&part).await {
                Ok(group) => {
                    self.publish(&group.links);
                    self.chain.set_writable(true);
                    for (queued, is_written) in part.into_iter().zip(group.written) {
                        self.report_outcome(queued, is_written);
                    }
                }
                Err(database::CommitError::Failed(failed) | database::CommitError::Unknown(failed)) => {
                    if failed.is_conflict() {
                        self.chain.read_head().await;
                    }
                    if (failed.is_invalid_data() || failed.is_conflict()) && part.len() > 1 {
                        // One event may be the cause, so the part is split, and the other events are written without it.
                        let rest = part.split_off(part.len() / 2);
                        parts.extend([rest, part]);
                        continue;
                    }
                    tracing::error!(kind = failed.kind(), "audit events could not be written");
                    self.chain.set_writable(failed.is_invalid_data() || failed.is_conflict());
                    to_retry.extend(self.report_failure(part, !failed.is_invalid_data()));
                }
                Err(database::CommitError::Rejected(error)) => {
                    tracing::error!(%error, "audit events could not be serialized");
                    to_retry.extend(self.report_failure(part, false));
                }
            }
        }
        // A block indexes rows for filters, see `audit/blocks`.
        self.chain.store_block_if_full().await;
        self.has_failed = !to_retry.is_empty();
        self.kept.append(&mut to_retry);
        self.kept.sort_by_key(|queued| queued.queued_at);
        let excess = self.kept.split_off(MAX_QUEUED.min(self.kept.len()));
        self.report_lost(&excess);
    }

    fn report_outcome(&self, queued: QueuedEvent, is_written: bool) {
        if is_written {
            self.metrics.record_audit_event(queued.event.kind, queued.event.outcome, queued.queued_at.elapsed());
            queued.report_outcome(|_| Ok(()));
        } else {
            queued.report_outcome(|event| Err(EventCommitError::Rejected(event)));
        }
    }

    /// Sends the new head to its receivers, and the durable events to standard output.
    fn publish(&self, links: &[Link]) {
        if links.is_empty() {
            return;
        }
        self.heads.send_replace(self.chain.head().clone());
        if let Some(stdout) = &self.stdout {
            stdout.write_lines(links.iter().map(|link| append_hash(&link.text, &link.hash) + "\n").collect());
        }
    }

    /// Reports the failure to the callers that wait for an outcome. Returns the events that no caller waits for if they may be
    /// retried; otherwise reports them as lost.
    fn report_failure(&self, part: Vec<QueuedEvent>, may_retry: bool) -> Vec<QueuedEvent> {
        let (awaited, not_awaited): (Vec<_>, Vec<_>) = part.into_iter().partition(QueuedEvent::is_awaited);
        for queued in awaited {
            queued.report_outcome(|_| Err(EventCommitError::Failed(AuditUnavailable)));
        }
        if may_retry {
            return not_awaited;
        }
        self.report_lost(&not_awaited);
        Vec::new()
    }

    /// Logs and counts events that are not written.
    fn report_lost(&self, lost: &[QueuedEvent]) {
        self.metrics.count_lost_audit_events(lost.len());
        for queued in lost {
            tracing::error!(event = queued.event.kind.as_str(), "an audit event was lost");
        }
    }
}
