//! Writes a group of events in one unit of work: runs their steps, and links the events whose steps were accepted.

use super::anchors;
use super::blocks::BlockWriter;
use super::chain::{Head, Link, NO_PREDECESSOR};
use super::chain_hasher::ChainHasher;
use super::queued_event::QueuedEvent;
use super::recent_rows::RecentRows;
use super::rows::{COLUMNS, INSERT_TARGET, filter_values, probe_values, values};
use crate::database::{CommitError, Database, DatabaseError, Param, Step, StepRunner};
use crate::model::clock::{Clock, format_time};
use crate::model::request_id::RequestId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// The interval at which the outcome of a lost commit is checked.
const OUTCOME_CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The accepted steps of a group, by runner.
type AcceptedSteps<'a> = Vec<(&'a Arc<dyn StepRunner>, Vec<&'a Step>)>;

/// Writes the chain of this replica.
pub struct ChainWriter {
    database: Database,
    hasher: Arc<ChainHasher>,
    clock: Arc<dyn Clock>,
    head: Head,
    /// Whether the last attempt to write succeeded.
    writable: Arc<AtomicBool>,
    /// Only for SQLite.
    blocks: Option<BlockWriter>,
    recent: Arc<RecentRows>,
}

/// The result of a group: for each event whether it was written, and the links of those that were.
pub struct Group {
    pub written: Vec<bool>,
    pub links: Vec<Link>,
}

impl ChainWriter {
    /// Starts a chain after its predecessor in the log.
    pub async fn new(
        database: Database,
        hasher: Arc<ChainHasher>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DatabaseError> {
        // Chains of several replicas run side by side. The predecessor is the last event of any of them; with a key, the last
        // one under a key.
        let predecessor = anchors::anchor_predecessor(&database, &hasher).await?;
        let head = Head {
            chain: hasher.chain_name(RequestId::random().as_str()).into(),
            seq: 0,
            hash: predecessor.map_or_else(|| NO_PREDECESSOR.into(), Into::into),
            time: "".into(),
        };
        let blocks = if database.is_remote() { None } else { Some(BlockWriter::start(database.clone()).await?) };
        let writable = Arc::new(AtomicBool::new(true));
        Ok(Self { database, hasher, clock, head, writable, blocks, recent: Arc::default() })
    }

    pub const fn head(&self) -> &Head {
        &self.head
    }

    pub const fn writable(&self) -> &Arc<AtomicBool> {
        &self.writable
    }

    /// The rows that were written last. Those of PostgreSQL are not added.
    pub const fn recent(&self) -> &Arc<RecentRows> {
        &self.recent
    }

    pub fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Relaxed);
    }

    /// Writes a group in one unit of work. Events whose step is rejected are not written, and do not hinder the others.
    ///
    /// # Errors
    /// Nothing is written then. `Rejected` does not occur: every event can be serialized.
    pub async fn write_group(&mut self, group: &[QueuedEvent]) -> Result<Group, CommitError<serde_json::Error>> {
        let mut work = self.database.begin_lazily();
        let mut verdicts = vec![true; group.len()];
        let mut done = AcceptedSteps::new();
        for (runner, places) in by_runner(group) {
            let steps: Vec<&Step> = places.iter().filter_map(|place| group[*place].step.as_ref()).collect();
            let could = match runner.run(&mut work, &steps).await {
                Ok(could) => could,
                Err(failed) => {
                    end(&done, false);
                    return Err(CommitError::Failed(failed));
                }
            };
            let mut did = Vec::with_capacity(steps.len());
            for ((place, step), could) in places.into_iter().zip(steps).zip(could) {
                verdicts[place] = could;
                if could {
                    did.push(step);
                }
            }
            done.push((runner, did));
        }
        let written: Vec<&QueuedEvent> =
            group.iter().zip(&verdicts).filter(|(_, done)| **done).map(|(one, _)| one).collect();
        if written.is_empty() {
            return Ok(Group { written: verdicts, links: Vec::new() });
        }
        let (head, links) = self.link(&written).map_err(|error| {
            end(&done, false);
            CommitError::Rejected(error)
        })?;
        let began = work.has_begun();
        let rows = links.iter().zip(&written);
        let rows = rows.map(|(link, one)| values(&self.head.chain, link, &one.event));
        let mut params: Vec<Param> = Vec::with_capacity(links.len() * COLUMNS);
        params.extend(rows.flatten());
        let committed = match work.insert_and_commit(INSERT_TARGET, COLUMNS, &params).await {
            Ok(last) => Ok(last),
            Err(CommitError::Failed(failed)) => Err(failed),
            Err(CommitError::Unknown(failed)) => self.resolve_outcome(began, &params, failed).await.map(|()| None),
        };
        end(&done, committed.is_ok());
        let last = committed.map_err(CommitError::Failed)?;
        if let Some(blocks) = &mut self.blocks {
            blocks.add(params.chunks(COLUMNS).map(filter_values), last);
        }
        if let Some(last_row) = last {
            let rows = i64::try_from(links.len()).unwrap_or(i64::MAX);
            self.recent.add(last_row.saturating_add(1).saturating_sub(rows), &links, &params);
        }
        drop(params);
        self.head = head;
        Ok(Group { written: verdicts, links })
    }

    /// Stores the block of the last rows, by which filters find events, if it is full. Called after the outcomes are reported,
    /// because they do not depend on it.
    pub async fn store_block_if_full(&mut self) {
        if let Some(blocks) = &mut self.blocks {
            blocks.store_if_full().await;
        }
    }

    /// Links events after the head, without moving it.
    fn link(&self, written: &[&QueuedEvent]) -> Result<(Head, Vec<Link>), serde_json::Error> {
        let time = Arc::from(format_time(self.clock.now()));
        let mut head = self.head.clone();
        let links = written.iter().map(|pending| self.hasher.link(&mut head, &pending.event, &time));
        let links = links.collect::<Result<_, _>>()?;
        Ok((head, links))
    }

    /// Whether an event could be made durable now: one is inserted and rolled back.
    pub async fn can_write(&self) -> bool {
        let row = probe_values(&self.head.chain, self.head.seq + 1);
        self.database.begin_lazily().insert(INSERT_TARGET, COLUMNS, &row).await.is_ok()
    }

    /// Reads the end of the chain from the database.
    pub async fn read_head(&mut self) {
        const LAST: &str = "SELECT seq, hash FROM audit_events WHERE chain = $1 ORDER BY seq DESC LIMIT 1";
        let last = self.database.run(LAST, &[(&self.head.chain).into()]).await;
        if let Ok(Some((seq, hash))) =
            last.map(|rows| rows.first().and_then(|row| Some((row.number(0).ok()?, row.text(1).ok()?))))
        {
            self.head.seq = seq;
            self.head.hash = hash.into();
        }
    }

    /// The connection was lost during the commit of a group. Repeats until the outcome is known. No other event
    /// can be written before, because it would get the same position in the chain.
    ///
    /// For a transaction, it tries to insert a row at the position of the group's first event. The insert waits
    /// while the transaction is still running, and then either succeeds (the group was not committed) or is a
    /// duplicate (it was committed, and counts once it is replicated). A single statement may still be in transit, so
    /// it is sent again until its rows exist.
    async fn resolve_outcome(
        &self,
        was_transaction: bool,
        params: &[Param<'_>],
        failed: DatabaseError,
    ) -> Result<(), DatabaseError> {
        tracing::error!(
            kind = failed.kind(),
            "the database connection was lost during an audit commit; checking its outcome"
        );
        self.set_writable(false);
        loop {
            let again = if was_transaction {
                let mut work = self.database.begin_lazily();
                match work.insert(INSERT_TARGET, COLUMNS, &params[..COLUMNS]).await {
                    Ok(_) => return Err(failed),
                    Err(error) => error,
                }
            } else {
                match self.database.begin_lazily().insert_and_commit(INSERT_TARGET, COLUMNS, params).await {
                    Ok(_) => return Ok(()),
                    Err(CommitError::Failed(error) | CommitError::Unknown(error)) => error,
                }
            };
            if again.is_duplicate() && self.is_replicated(params.len() / COLUMNS).await {
                return Ok(());
            }
            sleep(OUTCOME_CHECK_INTERVAL).await;
        }
    }

    /// Whether everything that is visible now is also on the synchronous standbys. PostgreSQL makes a commit durable first and
    /// then waits for them: a server that is restarted during the wait shows the rows, which a failover would lose. A later
    /// commit that did wait proves that they have arrived. It inserts a row after the group, and deletes it.
    async fn is_replicated(&self, in_group: usize) -> bool {
        const DELETE: &str = "DELETE FROM audit_events WHERE chain = $1 AND seq = $2";
        if !self.database.is_remote() {
            return true;
        }
        let chain = &*self.head.chain;
        let seq = self.head.seq + i64::try_from(in_group).unwrap_or(i64::MAX / 2) + 1;
        let mut work = self.database.begin_lazily();
        let written = async {
            work.insert(INSERT_TARGET, COLUMNS, &probe_values(chain, seq)).await?;
            work.run(DELETE, &[chain.into(), seq.into()]).await?;
            work.commit().await
        };
        written.await.is_ok()
    }
}

/// The indices of events with a step, by runner.
fn by_runner(group: &[QueuedEvent]) -> Vec<(&Arc<dyn StepRunner>, Vec<usize>)> {
    let mut runners: Vec<(&Arc<dyn StepRunner>, Vec<usize>)> = Vec::new();
    for (place, pending) in group.iter().enumerate() {
        let Some(step) = &pending.step else { continue };
        match runners.iter_mut().find(|(runner, _)| Arc::ptr_eq(runner, step.runner())) {
            Some((_, places)) => places.push(place),
            None => runners.push((step.runner(), vec![place])),
        }
    }
    runners
}

fn end(done: &AcceptedSteps<'_>, committed: bool) {
    for (runner, steps) in done {
        runner.on_end(steps, committed);
    }
}
