//! Retention: what is old is deleted, from the oldest end of the log, so that what is left can still be checked.
//!
//! Only what holds is deleted: a broken log keeps its evidence. The newest event always stays, because the next chain
//! names it. What is gone of each chain is told on standard output, and kept as an anchor.

use super::anchors;
use super::checkpoint;
use super::entry::{Columns, Stored};
use super::reader::Reader;
use super::stdout::Stdout;
use crate::database::{Failed, Row, Work};
use crate::model::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{interval, sleep};

/// How often is looked for what is old.
const EVERY: Duration = Duration::from_mins(10);
/// Events of one transaction, which nobody else can write beside on SQLite.
const BATCH: i64 = 50;
/// What others have between two transactions.
const PAUSE: Duration = Duration::from_millis(20);

const OLDEST: &str = "SELECT rowid, chain, seq, prev_hash, hash, time, type, outcome, subject, repo, branch, ticket_id, \
     event FROM audit_events WHERE rowid < (SELECT max(rowid) FROM audit_events) ORDER BY rowid LIMIT $1";

/// Deletes what is old.
pub struct Retention {
    reader: Reader,
    stdout: Option<Arc<Stdout>>,
    keep: Duration,
    clock: Arc<dyn Clock>,
}

/// What was deleted in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// How many events.
    pub deleted: usize,
    /// Whether there may be more.
    pub more: bool,
}

/// Why nothing more is deleted.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The database cannot be asked.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// An event does not hold, or is not the one behind the last that was deleted.
    #[error("the audit log is broken at event {seq} of chain {chain}")]
    Broken {
        /// The chain.
        chain: String,
        /// The event's number.
        seq: i64,
    },
}

impl Retention {
    pub(super) fn new(reader: Reader, stdout: Option<Arc<Stdout>>, keep: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { reader, stdout, keep, clock }
    }

    /// Deletes what becomes old, until the process stops.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut look = interval(EVERY);
        let work = async {
            loop {
                look.tick().await;
                if let Err(error) = self.delete_all().await {
                    tracing::error!(%error, "old audit events are not deleted");
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }

    async fn delete_all(&self) -> Result<(), Stopped> {
        while self.delete_some().await?.more {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Deletes a batch of events, all of them or none. Replicas take turns.
    ///
    /// # Errors
    /// See [`Stopped`]; then nothing is deleted.
    pub async fn delete_some(&self) -> Result<Batch, Stopped> {
        let Some(before) = self.before() else { return Ok(Batch { deleted: 0, more: false }) };
        let mut work = self.reader.database.begin().await?;
        // Whoever comes second waits here, and then sees what the first has left.
        work.run("UPDATE audit_retention SET runs = runs + 1", &[]).await?;
        let rows = work.run(OLDEST, &[BATCH.into()]).await?;
        let mut ends = BTreeMap::new();
        let mut last = None;
        let mut deleted = 0;
        for row in &rows {
            let columns = columns(row)?;
            if columns.time >= before.as_str() {
                break;
            }
            self.follow(&mut work, &mut ends, columns, row).await?;
            last = Some(row.number(0)?);
            deleted += 1;
        }
        let Some(last) = last else { return Ok(Batch { deleted: 0, more: false }) };
        for (chain, (seq, hash)) in &ends {
            anchors::prune(&mut work, &self.reader.sealer, chain, *seq, hash).await?;
        }
        work.run("DELETE FROM audit_events WHERE rowid <= $1", &[last.into()]).await?;
        work.commit().await?;
        self.say(&ends);
        Ok(Batch { deleted, more: deleted == rows.len() && rows.len() >= usize::try_from(BATCH).unwrap_or_default() })
    }

    /// Events from before this time are old. None where there was no such time.
    fn before(&self) -> Option<String> {
        let keep = SignedDuration::try_from(self.keep).ok()?;
        let before: Timestamp = self.clock.now().checked_sub(keep).ok()?;
        Some(format!("{before:.6}"))
    }

    /// Goes on from where a chain was deleted to the next event, which must be the next.
    async fn follow(
        &self,
        work: &mut Work,
        ends: &mut BTreeMap<String, (i64, String)>,
        columns: Columns<'_>,
        row: &Row,
    ) -> Result<(), Stopped> {
        let hash = row.str(4)?;
        let stored = Stored { text: row.str(12)?, hash, columns: Some(columns) };
        let intact = stored.place(Some(&self.reader.sealer)).is_some_and(|placed| placed.intact);
        let end = match ends.get(columns.chain) {
            Some(end) => Some(end.clone()),
            None => anchors::pruned(work, columns.chain).await?,
        };
        let is_next = match end {
            Some((seq, hash)) => columns.seq == seq + 1 && columns.prev_hash == hash,
            None => columns.seq == 1,
        };
        if !intact || !is_next {
            return Err(Stopped::Broken { chain: columns.chain.to_owned(), seq: columns.seq });
        }
        ends.insert(columns.chain.to_owned(), (columns.seq, hash.to_owned()));
        Ok(())
    }

    fn say(&self, ends: &BTreeMap<String, (i64, String)>) {
        if let Some(stdout) = &self.stdout {
            let now = format!("{:.6}", self.clock.now());
            stdout.copy(ends.iter().map(|(chain, (seq, hash))| checkpoint::pruned(&now, chain, *seq, hash)).collect());
        }
    }
}

/// The columns of a row of [`OLDEST`], as they are checked.
pub(super) fn columns(row: &Row) -> Result<Columns<'_>, Failed> {
    Ok(Columns {
        chain: row.str(1)?,
        seq: row.number(2)?,
        prev_hash: row.str(3)?,
        time: row.str(5)?,
        kind: row.str(6)?,
        outcome: row.str(7)?,
        subject: row.str_if_any(8)?,
        repo: row.str_if_any(9)?,
        branch: row.str_if_any(10)?,
        ticket_id: row.str_if_any(11)?,
    })
}
