//! The writer task of a replica: takes all queued events, writes them as a group, and reports the outcomes.

use super::chain::{Head, Link};
use super::chain_writer::ChainWriter;
use super::port::{AuditUnavailable, EventCommitError};
use super::queued_event::QueuedEvent;
use super::stdout::StdoutWriter;
use crate::database;
use crate::metrics::Metrics;
use crate::wire::audit_event::append_hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// Maximum number of new events per commit, and of failed events that are kept and added to the next commit.
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
}

impl Writer {
    pub fn new(chain: ChainWriter, stdout: Option<Arc<StdoutWriter>>, metrics: Arc<Metrics>) -> Self {
        let heads = watch::Sender::new(chain.head().clone());
        Self { chain, stdout, metrics, heads }
    }

    /// A receiver of the current head.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    /// Writes events until all handles of the log are dropped.
    pub async fn run(mut self, mut events: mpsc::Receiver<QueuedEvent>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        loop {
            // After a failure, the writer retries after this pause even if there are no new events.
            let max_wait = if group.is_empty() && self.chain.writable().load(Ordering::Relaxed) {
                WRITE_CHECK_INTERVAL
            } else {
                RETRY_PAUSE
            };
            let is_closed = timeout(max_wait, events.recv_many(&mut group, MAX_GROUP)).await == Ok(0);
            // Claims the events, so that their callers can no longer withdraw them, and drops those that are already withdrawn.
            group.retain(QueuedEvent::claim);
            if !group.is_empty() {
                group = self.write(group).await;
            } else if !is_closed {
                self.chain.set_writable(self.chain.can_write().await);
            }
            if is_closed {
                break;
            }
        }
        if !group.is_empty() {
            tracing::error!(lost = group.len(), "audit events were lost; they could not be written before shutdown");
        }
    }

    /// Writes a group and reports the outcomes. Returns the events to retry.
    async fn write(&mut self, group: Vec<QueuedEvent>) -> Vec<QueuedEvent> {
        let started = Instant::now();
        let mut to_retry = Vec::new();
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            match self.chain.write_group(&part).await {
                Ok(group) => {
                    self.publish(&group.links);
                    self.chain.set_writable(true);
                    for (queued, is_written) in part.into_iter().zip(group.written) {
                        self.report_outcome(queued, is_written, started);
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
                    to_retry.extend(report_failure(part, !failed.is_invalid_data()));
                }
                Err(database::CommitError::Rejected(error)) => {
                    tracing::error!(%error, "audit events could not be serialized");
                    to_retry.extend(report_failure(part, false));
                }
            }
        }
        // A block indexes rows for filters, see `audit/blocks`.
        self.chain.store_block_if_full().await;
        for lost in to_retry.drain(MAX_GROUP.min(to_retry.len())..) {
            tracing::error!(event = lost.event.kind.as_str(), "an audit event was lost");
        }
        to_retry
    }

    fn report_outcome(&self, queued: QueuedEvent, is_written: bool, started: Instant) {
        if is_written {
            self.metrics.record_audit_event(queued.event.kind, queued.event.outcome, started.elapsed());
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
}

/// Reports the failure to the callers that wait for an outcome. Returns the events that no caller waits for if they may be retried;
/// otherwise logs them as lost.
fn report_failure(part: Vec<QueuedEvent>, may_retry: bool) -> Vec<QueuedEvent> {
    let (awaited, not_awaited): (Vec<_>, Vec<_>) = part.into_iter().partition(QueuedEvent::is_awaited);
    for queued in awaited {
        queued.report_outcome(|_| Err(EventCommitError::Failed(AuditUnavailable)));
    }
    if may_retry {
        return not_awaited;
    }
    for lost in &not_awaited {
        tracing::error!(event = lost.event.kind.as_str(), "an audit event was lost");
    }
    Vec::new()
}
