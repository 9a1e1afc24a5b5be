//! The one writer of a replica: takes what waits, has it written as a group, then tells everyone.

use super::anchors;
use super::chain::{Head, Link, NO_PREDECESSOR};
use super::group::NotWritten;
use super::keys::ChainHasher;
use super::pending::{Pending, Verdict};
use super::stdout::Stdout;
use crate::database::{Database, Failed};
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::request_id::RequestId;
use crate::wire::audit_event::with_hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// The most events of one commit.
const GROUP: usize = 256;
/// How long events that could not be written wait until they are tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often is looked, while nothing happens, whether the database can be written.
const LOOK: Duration = Duration::from_secs(2);

/// Owns the head of this replica's chain.
pub struct Writer {
    pub(super) database: Database,
    pub(super) hasher: Arc<ChainHasher>,
    stdout: Option<Arc<Stdout>>,
    pub(super) clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    pub(super) head: Head,
    /// Tells the head whenever it has moved.
    heads: watch::Sender<Head>,
    writable: Arc<AtomicBool>,
}

impl Writer {
    /// Starts a chain behind the last event of the database.
    pub async fn new(
        database: Database,
        hasher: Arc<ChainHasher>,
        stdout: Option<Arc<Stdout>>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Failed> {
        // Where several replicas write, their chains run side by side: the predecessor is whichever wrote last.
        let predecessor = anchors::name_last(&database, &hasher).await?;
        let head = Head {
            chain: hasher.name_chain(RequestId::random().as_str()),
            seq: 0,
            hash: predecessor.unwrap_or_else(|| NO_PREDECESSOR.to_owned()),
            time: String::new(),
        };
        let heads = watch::Sender::new(head.clone());
        let writable = Arc::new(AtomicBool::new(true));
        Ok(Self { database, hasher, stdout, clock, metrics, head, heads, writable })
    }

    /// Follows the head.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.heads.subscribe()
    }

    /// Says whether events can be made durable, as far as is known.
    pub fn writable(&self) -> Arc<AtomicBool> {
        self.writable.clone()
    }

    pub(super) fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Relaxed);
    }

    /// Writes until every handle is gone.
    pub async fn run(mut self, mut events: mpsc::Receiver<Pending>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            // What is to be tried again does not wait for company.
            let patience = if group.is_empty() && self.writable.load(Ordering::Relaxed) { LOOK } else { RETRY };
            let all_gone = timeout(patience, events.recv_many(&mut group, GROUP)).await == Ok(0);
            // Whoever waits no longer was told that it has not happened.
            group.retain(Pending::take);
            if !group.is_empty() {
                group = self.write(group).await;
            } else if !all_gone {
                self.set_writable(self.can_write().await);
            }
            if all_gone {
                break;
            }
        }
        if !group.is_empty() {
            tracing::error!(lost = group.len(), "audit events were lost; they could not be written before shutdown");
        }
    }

    /// Writes a group and tells those who wait. Returns what is to be tried again.
    async fn write(&mut self, group: Vec<Pending>) -> Vec<Pending> {
        let started = Instant::now();
        let mut again = Vec::new();
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            match self.write_group(&part).await {
                Ok(written) => {
                    self.set_writable(true);
                    for (pending, written) in part.into_iter().zip(written) {
                        self.tell(pending, written, started);
                    }
                }
                Err(NotWritten::Database(failed)) => {
                    if failed.is_conflict() {
                        self.find_head_again().await;
                    }
                    if (failed.is_of_the_data() || failed.is_conflict()) && part.len() > 1 {
                        // One that the database does not take must not take the others with it.
                        let rest = part.split_off(part.len() / 2);
                        parts.extend([rest, part]);
                        continue;
                    }
                    tracing::error!(kind = failed.kind(), "audit events could not be written");
                    self.set_writable(failed.is_of_the_data() || failed.is_conflict());
                    again.extend(give_up(part, !failed.is_of_the_data()));
                }
                Err(NotWritten::Json(error)) => {
                    tracing::error!(%error, "audit events could not be serialized");
                    again.extend(give_up(part, false));
                }
            }
        }
        for lost in again.drain(GROUP.min(again.len())..) {
            tracing::error!(event = lost.event.kind.as_str(), "an audit event was lost");
        }
        again
    }

    fn tell(&self, pending: Pending, written: bool, started: Instant) {
        if written {
            self.metrics.audit_event(pending.event.kind, pending.event.outcome, started.elapsed());
            pending.tell(|_| Verdict::Durable);
        } else {
            pending.tell(|event| Verdict::Refused(Box::new(event)));
        }
    }

    /// Tells what is durable: the head to who follows it, the events to standard output.
    pub(super) fn copy(&self, links: &[Link]) {
        self.heads.send_replace(self.head.clone());
        if let Some(stdout) = &self.stdout {
            stdout.copy(links.iter().map(|link| with_hash(&link.text, &link.hash) + "\n").collect());
        }
    }

    /// The database knows where the chain really ends.
    async fn find_head_again(&mut self) {
        if let Ok(Some((seq, hash))) = self.last_link().await {
            self.head.seq = seq;
            self.head.hash = hash;
        }
    }

    async fn last_link(&self) -> Result<Option<(i64, String)>, Failed> {
        const LAST: &str = "SELECT seq, hash FROM audit_events WHERE chain = $1 ORDER BY seq DESC LIMIT 1";
        let last = self.database.run(LAST, &[(&self.head.chain).into()]).await?;
        last.first().map(|row| Ok((row.number(0)?, row.text(1)?))).transpose()
    }
}

/// Tells those who wait that nothing was done, and returns those who nobody waits for, if they are worth another try.
fn give_up(part: Vec<Pending>, worth_another_try: bool) -> Vec<Pending> {
    let (waited_for, kept): (Vec<_>, Vec<_>) = part.into_iter().partition(Pending::is_waited_for);
    for pending in waited_for {
        pending.tell(|_| Verdict::Unavailable);
    }
    if worth_another_try {
        return kept;
    }
    for lost in &kept {
        tracing::error!(event = lost.event.kind.as_str(), "an audit event was lost");
    }
    Vec::new()
}
