//! The single writer of a replica: takes all queued events, writes them as a group, and reports the outcome.

use super::chain::{Head, Link};
use super::chain_writer::ChainWriter;
use super::pending::Pending;
use super::port::{AuditUnavailable, CommitError};
use super::stdout::Stdout;
use crate::database;
use crate::metrics::Metrics;
use crate::wire::audit_event::append_hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// Maximum number of events per commit.
const MAX_GROUP: usize = 256;
/// Pause before unwritten events are tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Interval of write checks when there are no events.
const WRITE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Writes the chain of this replica.
pub struct Writer {
    chain: ChainWriter,
    stdout: Option<Arc<Stdout>>,
    metrics: Arc<Metrics>,
    /// Publishes each new head.
    heads: watch::Sender<Head>,
}

impl Writer {
    pub fn new(chain: ChainWriter, stdout: Option<Arc<Stdout>>, metrics: Arc<Metrics>) -> Self {
        let heads = watch::Sender::new(chain.head().clone());
        Self { chain, stdout, metrics, heads }
    }

    /// A receiver of the head.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    /// Writes until all handles are dropped.
    pub async fn run(mut self, mut events: mpsc::Receiver<Pending>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        loop {
            // Events to retry do not wait for new events.
            let patience = if group.is_empty() && self.chain.writable().load(Ordering::Relaxed) {
                WRITE_CHECK_INTERVAL
            } else {
                RETRY_PAUSE
            };
            let all_gone = timeout(patience, events.recv_many(&mut group, MAX_GROUP)).await == Ok(0);
            // Events that were withdrawn are dropped: their senders were told that they are not written.
            group.retain(Pending::take);
            if !group.is_empty() {
                group = self.write(group).await;
            } else if !all_gone {
                self.chain.set_writable(self.chain.can_write().await);
            }
            if all_gone {
                break;
            }
        }
        if !group.is_empty() {
            tracing::error!(lost = group.len(), "audit events were lost; they could not be written before shutdown");
        }
    }

    /// Writes a group and reports the outcomes. Returns the events to try again.
    async fn write(&mut self, group: Vec<Pending>) -> Vec<Pending> {
        let started = Instant::now();
        let mut again = Vec::new();
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            match self.chain.write_group(&part).await {
                Ok(group) => {
                    self.copy(&group.links);
                    self.chain.set_writable(true);
                    for (pending, written) in part.into_iter().zip(group.written) {
                        self.report_outcome(pending, written, started);
                    }
                }
                Err(database::CommitError::Failed(failed) | database::CommitError::Unknown(failed)) => {
                    if failed.is_conflict() {
                        self.chain.read_head().await;
                    }
                    if (failed.is_of_the_data() || failed.is_conflict()) && part.len() > 1 {
                        // An event that the database rejects must not fail the others.
                        let rest = part.split_off(part.len() / 2);
                        parts.extend([rest, part]);
                        continue;
                    }
                    tracing::error!(kind = failed.kind(), "audit events could not be written");
                    self.chain.set_writable(failed.is_of_the_data() || failed.is_conflict());
                    again.extend(report_failure(part, !failed.is_of_the_data()));
                }
                Err(database::CommitError::Rejected(error)) => {
                    tracing::error!(%error, "audit events could not be serialized");
                    again.extend(report_failure(part, false));
                }
            }
        }
        self.chain.store_block_if_full().await;
        for lost in again.drain(MAX_GROUP.min(again.len())..) {
            tracing::error!(event = lost.event.kind.as_str(), "an audit event was lost");
        }
        again
    }

    fn report_outcome(&self, pending: Pending, written: bool, started: Instant) {
        if written {
            self.metrics.record_audit_event(pending.event.kind, pending.event.outcome, started.elapsed());
            pending.report_outcome(|_| Ok(()));
        } else {
            pending.report_outcome(|event| Err(CommitError::Rejected(Box::new(event))));
        }
    }

    /// Publishes the durable events: the head to its receivers, the events to standard output.
    fn copy(&self, links: &[Link]) {
        if links.is_empty() {
            return;
        }
        self.heads.send_replace(self.chain.head().clone());
        if let Some(stdout) = &self.stdout {
            stdout.copy(links.iter().map(|link| append_hash(&link.text, &link.hash) + "\n").collect());
        }
    }
}

/// Reports failure to the waiting senders, and returns the events without one if another attempt makes sense.
fn report_failure(part: Vec<Pending>, worth_another_try: bool) -> Vec<Pending> {
    let (waited_for, kept): (Vec<_>, Vec<_>) = part.into_iter().partition(Pending::is_waited_for);
    for pending in waited_for {
        pending.report_outcome(|_| Err(CommitError::Failed(AuditUnavailable)));
    }
    if worth_another_try {
        return kept;
    }
    for lost in &kept {
        tracing::error!(event = lost.event.kind.as_str(), "an audit event was lost");
    }
    Vec::new()
}
