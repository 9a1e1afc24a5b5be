//! Retention: deletes events that are too old or exceed the size limit, oldest first, so that the rest can still be verified.
//!
//! Only verified events are deleted, so a broken log keeps its evidence. The newest event always stays, because the next chain
//! names it. The last deleted event of each chain is written to standard output and kept as an anchor.

use super::anchors;
use super::blocks;
use super::checkpoint;
use super::entry::Columns;
use super::log::AuditLog;
use super::port::Event;
use super::reader::Reader;
use super::rows;
use super::segments::Segments;
use super::stdout::Stdout;
use crate::database::{Failed, Row, Work};
use crate::metrics::Metrics;
use crate::metrics::labels::{EventType, Outcome, PruneReason};
use crate::model::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The interval of deleting old events.
const DELETE_INTERVAL: Duration = Duration::from_mins(10);
/// The interval of measuring the log.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);
/// Events of one transaction, which blocks other writers on SQLite.
const BATCH: i64 = 50;
/// The pause between two transactions, for other writers.
const PAUSE: Duration = Duration::from_millis(20);
/// The batch while the log exceeds its limit: it must shrink faster than a flood can grow it.
const LARGE_BATCH: i64 = 250;
const SHORT_PAUSE: Duration = Duration::from_millis(5);

/// How much of the log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum age of events.
    pub keep: Duration,
    /// The maximum size of the log in bytes.
    pub max_size: Option<u64>,
}

/// Deletes events by age and size.
pub struct Retention {
    log: AuditLog,
    reader: Reader,
    stdout: Option<Arc<Stdout>>,
    limits: Limits,
    segments: Segments,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// The result of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The number of deleted events.
    pub deleted: usize,
    /// Whether there may be more to delete.
    pub more: bool,
}

/// The end of what is deleted.
enum Until<'a> {
    /// Events from before this time.
    Time(&'a str),
    /// Events up to this row.
    Row(i64),
}

/// Why retention stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The database failed.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// An event is altered, or does not follow the last deleted one.
    #[error("the audit log is broken at event {seq} of chain {chain}")]
    Broken {
        /// The chain.
        chain: String,
        /// The event's number.
        seq: i64,
    },
}

impl Retention {
    /// Deletes from this log.
    #[must_use]
    pub fn new(log: &AuditLog, limits: Limits, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let (log, reader, stdout) = (log.clone(), log.reader(), log.stdout.clone());
        let segments = Segments::new(reader.database.clone(), limits.max_size);
        metrics.set_audit_max_bytes(limits.max_size.unwrap_or_default());
        Self { log, reader, stdout, limits, segments, clock, metrics }
    }

    /// Deletes events until the process stops.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        let (mut look, mut measure) = (interval(DELETE_INTERVAL), interval(MEASURE_INTERVAL));
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            let mut failed = false;
            loop {
                tokio::select! {
                    _ = look.tick() => {
                        if let Err(error) = self.delete_old().await {
                            tracing::error!(%error, "audit retention failed; old events are kept");
                        }
                    }
                    _ = measure.tick() => match self.keep_size().await {
                        Ok(_) => failed = false,
                        Err(error) if !std::mem::replace(&mut failed, true) => {
                            tracing::error!(%error, "the audit log exceeds audit.maxSize and could not be pruned");
                        }
                        Err(_) => {}
                    },
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }

    async fn delete_old(&self) -> Result<(), Stopped> {
        while self.delete_some().await?.more {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Deletes a batch of old events in one transaction. Replicas take turns.
    ///
    /// # Errors
    /// See [`Stopped`]; then nothing is deleted.
    pub async fn delete_some(&self) -> Result<Batch, Stopped> {
        let Some(before) = self.cutoff() else { return Ok(Batch { deleted: 0, more: false }) };
        let batch = self.delete(&Until::Time(&before), BATCH).await?;
        self.metrics.count_pruned_audit_events(PruneReason::Retention, batch.deleted);
        Ok(batch)
    }

    /// Measures the log, and deletes its oldest segments while it exceeds its limit. Returns the number of deleted events.
    ///
    /// # Errors
    /// See [`Stopped`]. Earlier batches stay deleted.
    pub async fn keep_size(&self) -> Result<usize, Stopped> {
        let measured = self.segments.measure(self.clock.now()).await?;
        self.metrics.set_audit_bytes(measured.bytes());
        let Some(cut) = self.segments.end_of_excess(measured).await? else { return Ok(0) };
        let mut deleted = 0;
        let done = loop {
            match self.delete(&Until::Row(cut), LARGE_BATCH).await {
                Ok(batch) => {
                    deleted += batch.deleted;
                    if !batch.more {
                        break Ok(());
                    }
                }
                Err(stopped) => break Err(stopped),
            }
            sleep(SHORT_PAUSE).await;
        };
        if deleted > 0 {
            self.metrics.count_pruned_audit_events(PruneReason::MaxSize, deleted);
            tracing::warn!(deleted, "the audit log exceeded audit.maxSize; deleted its oldest events");
            let mut event = Event::new(EventType::AuditPruned, Outcome::Ok);
            event.reason = Some(PruneReason::MaxSize.as_str());
            event.count = Some(deleted as u64);
            self.log.record_later(event);
        }
        done.map(|()| deleted)
    }

    async fn delete(&self, until: &Until<'_>, most: i64) -> Result<Batch, Stopped> {
        let mut work = self.reader.database.begin().await?;
        // A concurrent replica waits here, and then sees the remaining rows.
        work.run("UPDATE audit_retention SET runs = runs + 1", &[]).await?;
        let rows = work.run(rows::OLDEST, &[most.into()]).await?;
        let mut ends = BTreeMap::new();
        let mut last = None;
        let mut deleted = 0;
        for row in &rows {
            let (columns, place) = (rows::columns(row)?, rows::number(row)?);
            let goes = match until {
                Until::Time(before) => columns.time < *before,
                Until::Row(cut) => place <= *cut,
            };
            if !goes {
                break;
            }
            self.verify_next(&mut work, &mut ends, columns, row).await?;
            last = Some(place);
            deleted += 1;
        }
        let Some(last) = last else { return Ok(Batch { deleted: 0, more: false }) };
        for (chain, (seq, hash)) in &ends {
            anchors::prune(&mut work, &self.reader.hasher, chain, *seq, hash).await?;
        }
        work.run("DELETE FROM audit_events WHERE rowid <= $1", &[last.into()]).await?;
        Segments::forget(&mut work, last).await?;
        blocks::forget(&mut work, last).await?;
        work.commit().await?;
        self.log_deleted(&ends);
        Ok(Batch { deleted, more: deleted == rows.len() && i64::try_from(rows.len()).is_ok_and(|rows| rows >= most) })
    }

    /// The time before which events are deleted. `None` if it cannot be represented.
    fn cutoff(&self) -> Option<String> {
        let keep = SignedDuration::try_from(self.limits.keep).ok()?;
        let before: Timestamp = self.clock.now().checked_sub(keep).ok()?;
        Some(format!("{before:.6}"))
    }

    /// Verifies an event that is to be deleted: it must be intact, and follow the last deleted event of its chain.
    async fn verify_next(
        &self,
        work: &mut Work,
        ends: &mut BTreeMap<String, (i64, String)>,
        columns: Columns<'_>,
        row: &Row,
    ) -> Result<(), Stopped> {
        let stored = rows::stored(row)?;
        let intact = stored.place(Some(&self.reader.hasher)).is_some_and(|placed| placed.intact);
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
        ends.insert(columns.chain.to_owned(), (columns.seq, stored.hash.to_owned()));
        Ok(())
    }

    fn log_deleted(&self, ends: &BTreeMap<String, (i64, String)>) {
        if let Some(stdout) = &self.stdout {
            let now = format!("{:.6}", self.clock.now());
            stdout.copy(ends.iter().map(|(chain, (seq, hash))| checkpoint::pruned(&now, chain, *seq, hash)).collect());
        }
    }
}
