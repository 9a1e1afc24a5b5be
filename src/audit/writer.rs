//! The one writer of a replica: takes what waits, links it, commits it as a group, then tells everyone.

use super::chain::{Head, Link, NO_PREDECESSOR, Sealer};
use super::stdout::Stdout;
use super::{AuditUnavailable, Event, Pending};
use crate::database::{Database, Failed, Param};
use crate::metrics::Metrics;
use crate::model::branch::Branch;
use crate::model::clock::Clock;
use crate::model::repo::Repo;
use crate::model::request_id::RequestId;
use crate::wire::audit_event::with_hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// The most events of one commit.
const GROUP: usize = 256;
/// How long events that could not be written wait until they are tried again.
const RETRY: Duration = Duration::from_secs(1);
const TABLE: &str =
    "audit_events (chain, seq, prev_hash, hash, time, type, outcome, subject, repo, branch, ticket_id, event)";
const COLUMNS: usize = 12;

/// Owns the head of this replica's chain.
pub struct Writer {
    database: Database,
    sealer: Sealer,
    stdout: Option<Stdout>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    head: Head,
}

impl Writer {
    /// Starts a chain behind the last event of the database.
    pub async fn new(
        database: Database,
        sealer: Sealer,
        stdout: Option<Stdout>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Failed> {
        // Where several replicas write, their chains run side by side: the predecessor is whichever wrote last.
        let last = database.run("SELECT hash FROM audit_events ORDER BY rowid DESC LIMIT 1", &[]).await?;
        let predecessor = last.first().map(|row| row.text(0)).transpose()?;
        let head = Head {
            chain: RequestId::random().to_string(),
            seq: 0,
            hash: predecessor.unwrap_or_else(|| NO_PREDECESSOR.to_owned()),
        };
        Ok(Self { database, sealer, stdout, clock, metrics, head })
    }

    /// Writes until every handle is gone.
    pub async fn run(mut self, mut events: mpsc::Receiver<Pending>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            // What is to be tried again does not wait for company.
            let patience = if group.is_empty() { Duration::MAX } else { RETRY };
            let all_gone = timeout(patience, events.recv_many(&mut group, GROUP)).await == Ok(0);
            // Whoever waits no longer was told that it has not happened.
            group.retain(|pending| !pending.durable.as_ref().is_some_and(oneshot::Sender::is_closed));
            if !group.is_empty() {
                self.write(&mut group).await;
            }
            if all_gone {
                break;
            }
        }
        if !group.is_empty() {
            tracing::error!(lost = group.len(), "audit events are lost: they could not be written to the end");
        }
    }

    /// Writes a group and tells those who wait. What is to be tried again stays in the group.
    async fn write(&mut self, group: &mut Vec<Pending>) {
        let started = Instant::now();
        let linked = self.link(group);
        let worth_another_try = linked.is_ok();
        let result = match linked {
            Ok((head, links)) => self.commit(group, head, &links).await,
            Err(error) => {
                tracing::error!(%error, "audit events cannot be written as JSON");
                Err(AuditUnavailable)
            }
        };
        let mut again = Vec::new();
        for pending in group.drain(..) {
            if result.is_ok() {
                self.metrics.audit_event(pending.event.kind, pending.event.outcome, started.elapsed());
            }
            match pending.durable {
                // Whoever has gone meanwhile has answered with an error already.
                Some(durable) => drop(durable.send(result)),
                None if result.is_ok() => {}
                None if worth_another_try && again.len() < GROUP => again.push(pending),
                None => tracing::error!(event = pending.event.kind.as_str(), "an audit event is lost"),
            }
        }
        group.append(&mut again);
    }

    /// Links a group behind the head, which stays where it is.
    fn link(&self, group: &[Pending]) -> Result<(Head, Vec<Link>), serde_json::Error> {
        let now = self.clock.now();
        let mut head = self.head.clone();
        let links = group.iter().map(|pending| self.sealer.link(&mut head, &pending.event, now));
        let links = links.collect::<Result<_, _>>()?;
        Ok((head, links))
    }

    async fn commit(&mut self, group: &[Pending], head: Head, links: &[Link]) -> Result<(), AuditUnavailable> {
        if let Err(error) = self.insert(links, group).await {
            tracing::error!(kind = error.kind(), "audit events cannot be written");
            self.find_head_again().await;
            if self.head.hash != head.hash {
                return Err(AuditUnavailable);
            }
        }
        self.head = head;
        if let Some(stdout) = &self.stdout {
            stdout.copy(links.iter().map(|link| with_hash(&link.text, &link.hash) + "\n").collect());
        }
        Ok(())
    }

    /// One statement, and so one transaction: all of a group or nothing of it.
    async fn insert(&self, links: &[Link], group: &[Pending]) -> Result<(), Failed> {
        let mut params: Vec<Param> = Vec::with_capacity(links.len() * COLUMNS);
        let tickets: Vec<Option<String>> =
            group.iter().map(|one| one.event.ticket_id.map(|id| id.to_string())).collect();
        for ((link, pending), ticket_id) in links.iter().zip(group).zip(&tickets) {
            let event: &Event = &pending.event;
            let row: [Param; COLUMNS] = [
                (&self.head.chain).into(),
                link.seq.into(),
                (&link.prev_hash).into(),
                (&link.hash).into(),
                (&link.time).into(),
                event.kind.as_str().into(),
                event.outcome.as_str().into(),
                event.caller.as_ref().map(|caller| caller.subject.as_str()).into(),
                event.repo.as_ref().map(Repo::as_str).into(),
                event.branch.as_ref().map(Branch::as_str).into(),
                ticket_id.as_deref().into(),
                (&link.text).into(),
            ];
            params.extend(row);
        }
        self.database.insert(TABLE, COLUMNS, &params).await
    }

    /// A commit that failed may have happened all the same. The database knows where the chain really ends.
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
