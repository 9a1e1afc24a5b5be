//! Retention: deletes the oldest events if they are too old or the log is too large. The remaining events can still be
//! verified.
//!
//! An event is verified before it is deleted, so that evidence of tampering is kept. The newest event is never deleted, because
//! the next chain contains its hash. The last deleted event of each chain is printed to standard output and stored as an
//! anchor.

use super::anchors;
use super::blocks::delete_blocks_up_to;
use super::checkpoint;
use super::log::AuditLog;
use super::port::Event;
use super::reader::Reader;
use super::rows;
use super::segments::Segments;
use super::stdout::StdoutWriter;
use super::stored_event::EventColumns;
use crate::database::{DatabaseError, Row, UnitOfWork};
use crate::metrics::Metrics;
use crate::metrics::labels::{EventType, Outcome, PruneReason};
use crate::model::clock::{Clock, format_time};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The interval at which old events are deleted.
const DELETE_INTERVAL: Duration = Duration::from_mins(10);
/// The interval at which the size of the log is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of old events that one transaction deletes. An SQLite transaction blocks other writers.
const BATCH_EVENTS: i64 = 50;
/// The pause between two transactions, in which others can write.
const BATCH_PAUSE: Duration = Duration::from_millis(20);
/// Batch and pause while the log exceeds its size limit: deletion must be faster than a flood of events.
const LARGE_BATCH_EVENTS: i64 = 250;
const SHORT_BATCH_PAUSE: Duration = Duration::from_millis(5);

/// The limits of the log.
#[derive(Debug, Clone, Copy)]
pub struct RetentionLimits {
    /// The maximum age of events.
    pub max_age: Duration,
    /// The maximum size of the log in bytes.
    pub max_size: Option<u64>,
}

/// Deletes events by age and size.
pub struct Retention {
    log: AuditLog,
    reader: Reader,
    stdout: Option<Arc<StdoutWriter>>,
    limits: RetentionLimits,
    segments: Segments,
    /// A row that is older than `max_age`, and therefore also all rows before it, whatever their times.
    last_old_row: AtomicI64,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// The number of events that were deleted because of the size limit. The deletion is recorded when it is dropped: at its end, or
/// at a stop of the process before that.
struct DeletedBySize<'a> {
    retention: &'a Retention,
    events: usize,
}

impl Drop for DeletedBySize<'_> {
    fn drop(&mut self) {
        let deleted = self.events;
        if deleted > 0 {
            self.retention.metrics.count_pruned_audit_events(PruneReason::MaxSize, deleted);
            tracing::warn!(deleted, "the audit log exceeded audit.maxSize; deleted its oldest events");
            let mut event = Event::new(EventType::AuditPruned, Outcome::Ok);
            event.reason = Some(PruneReason::MaxSize.as_str());
            event.count = Some(deleted as u64);
            self.retention.log.record_later(event);
        }
    }
}

/// The result of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedBatch {
    /// The number of deleted events.
    pub deleted: usize,
    /// Whether there may be more events to delete.
    pub has_more: bool,
}

/// The events to delete.
enum DeletionLimit<'a> {
    /// Events before a time.
    Time { before: &'a str, now: &'a str },
    /// Events up to this row number, inclusive.
    Row(i64),
}

/// Why a deletion stopped.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// An event is altered, or is not the successor of the last deleted one of its chain.
    #[error("the audit log is broken at event {seq} of chain {chain}")]
    Broken {
        /// The chain.
        chain: String,
        /// The event's number.
        seq: i64,
    },
}

impl Retention {
    /// Applies the limits to a log.
    #[must_use]
    pub fn new(log: &AuditLog, limits: RetentionLimits, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let (log, reader, stdout) = (log.clone(), log.reader(), log.stdout.clone());
        let segments = Segments::new(reader.database.clone(), limits.max_size, reader.recent.clone());
        metrics.set_audit_max_bytes(limits.max_size.unwrap_or_default());
        Self { log, reader, stdout, limits, segments, last_old_row: AtomicI64::new(i64::MIN), clock, metrics }
    }

    /// Deletes events continually. Never returns.
    pub async fn run(self) {
        let (mut deletion, mut measurement) = (interval(DELETE_INTERVAL), interval(MEASURE_INTERVAL));
        measurement.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_failed = false;
        loop {
            tokio::select! {
                _ = deletion.tick() => {
                    if let Err(error) = self.delete_old().await {
                        tracing::error!(%error, "audit retention failed; old events are kept");
                    }
                }
                _ = measurement.tick() => match self.enforce_max_size().await {
                    Ok(_) => has_failed = false,
                    Err(error) if !std::mem::replace(&mut has_failed, true) => {
                        tracing::error!(%error, "the audit log exceeds audit.maxSize and could not be pruned");
                    }
                    Err(_) => {}
                },
            }
        }
    }

    async fn delete_old(&self) -> Result<(), RetentionError> {
        while self.delete_old_batch().await?.has_more {
            sleep(BATCH_PAUSE).await;
        }
        Ok(())
    }

    /// Deletes a batch of old events in one transaction. Concurrent replicas wait for each other.
    ///
    /// # Errors
    /// See [`RetentionError`]. Nothing is deleted then.
    pub async fn delete_old_batch(&self) -> Result<DeletedBatch, RetentionError> {
        let Some(before) = self.cutoff() else { return Ok(DeletedBatch { deleted: 0, has_more: false }) };
        let limit = DeletionLimit::Time { before: &before, now: &format_time(self.clock.now()) };
        let batch = self.delete_batch(&limit, BATCH_EVENTS).await?;
        self.metrics.count_pruned_audit_events(PruneReason::Retention, batch.deleted);
        Ok(batch)
    }

    /// Measures the log. If it exceeds its size limit, deletes its oldest segments. Returns the number of deleted events.
    ///
    /// # Errors
    /// See [`RetentionError`]. Earlier batches stay deleted.
    pub async fn enforce_max_size(&self) -> Result<usize, RetentionError> {
        let size = self.segments.measure(self.clock.now()).await?;
        self.metrics.set_audit_bytes(size.bytes());
        let Some(last_row) = self.segments.last_excess_row(size).await? else { return Ok(0) };
        let mut deleted = DeletedBySize { retention: self, events: 0 };
        loop {
            let batch = self.delete_batch(&DeletionLimit::Row(last_row), LARGE_BATCH_EVENTS).await?;
            deleted.events += batch.deleted;
            if !batch.has_more {
                return Ok(deleted.events);
            }
            sleep(SHORT_BATCH_PAUSE).await;
        }
    }

    async fn delete_batch(&self, limit: &DeletionLimit<'_>, max_events: i64) -> Result<DeletedBatch, RetentionError> {
        let mut work = self.reader.database.begin().await?;
        // Takes a row lock: a concurrent replica waits here, and then reads the remaining rows.
        work.run("UPDATE audit_retention SET runs = runs + 1", &[]).await?;
        let rows = work.run(rows::SELECT_OLDEST, &[max_events.into()]).await?;
        let mut last_by_chain = BTreeMap::new();
        let last_old_row = match limit {
            DeletionLimit::Time { before, now } => self.last_old_row(&mut work, &rows, before, now).await?,
            DeletionLimit::Row(last_row) => *last_row,
        };
        let mut last_row = None;
        let mut deleted = 0;
        for row in &rows {
            let row_number = rows::row_number(row)?;
            if row_number > last_old_row {
                break;
            }
            self.verify_next(&mut work, &mut last_by_chain, rows::columns(row)?, row).await?;
            last_row = Some(row_number);
            deleted += 1;
        }
        let Some(last_row) = last_row else { return Ok(DeletedBatch { deleted: 0, has_more: false }) };
        for (chain, (seq, hash)) in &last_by_chain {
            anchors::set_last_pruned(&mut work, &self.reader.hasher, chain, *seq, hash).await?;
        }
        work.run("DELETE FROM audit_events WHERE rowid <= $1", &[last_row.into()]).await?;
        Segments::delete_up_to(&mut work, last_row).await?;
        delete_blocks_up_to(&mut work, last_row).await?;
        work.commit().await?;
        self.print_deleted(&last_by_chain);
        let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= max_events);
        Ok(DeletedBatch { deleted, has_more: is_full && deleted == rows.len() })
    }

    /// The last row that is known to be older than `before`, from the oldest rows. A time after `now` was written before the clock
    /// was set back, and says nothing: the event is older than the next one with another time.
    async fn last_old_row(
        &self,
        work: &mut UnitOfWork,
        rows: &[Row],
        before: &str,
        now: &str,
    ) -> Result<i64, DatabaseError> {
        let mut last_old_row = self.last_old_row.load(Ordering::Relaxed);
        let mut last_row = i64::MIN;
        for row in rows {
            last_row = rows::row_number(row)?;
            let time = rows::columns(row)?.time;
            if time < before {
                last_old_row = last_old_row.max(last_row);
            } else if time <= now {
                return Ok(last_old_row.min(last_row - 1));
            }
        }
        if last_old_row < last_row {
            let next = work.run(rows::SELECT_NEXT_UNTIL, &[last_row.into(), now.into()]).await?;
            if let Some(row) = next.first()
                && row.str(1)? < before
            {
                // Stored, because the query can read many rows.
                last_old_row = row.number(0)?;
                self.last_old_row.store(last_old_row, Ordering::Relaxed);
            }
        }
        Ok(last_old_row)
    }

    /// The time before which events are deleted. `None` if it is earlier than a [`Timestamp`] can be.
    fn cutoff(&self) -> Option<String> {
        let max_age = SignedDuration::try_from(self.limits.max_age).ok()?;
        let before: Timestamp = self.clock.now().checked_sub(max_age).ok()?;
        Some(format_time(before))
    }

    /// Verifies that an event is intact and is the successor of the last event of its chain in `last_by_chain`, or else of the
    /// last deleted one. Then puts it into `last_by_chain`.
    async fn verify_next(
        &self,
        work: &mut UnitOfWork,
        last_by_chain: &mut BTreeMap<String, (i64, String)>,
        columns: EventColumns<'_>,
        row: &Row,
    ) -> Result<(), RetentionError> {
        let stored = rows::stored_event(row)?;
        let is_intact = stored.check(Some(&self.reader.hasher)).is_some_and(|event| event.is_intact);
        let last = match last_by_chain.get(columns.chain) {
            Some(last) => Some(last.clone()),
            None => anchors::last_pruned(work, columns.chain).await?,
        };
        let is_next = match last {
            Some((seq, hash)) => columns.seq == seq + 1 && columns.prev_hash == hash,
            None => columns.seq == 1,
        };
        if !is_intact || !is_next {
            return Err(RetentionError::Broken { chain: columns.chain.to_owned(), seq: columns.seq });
        }
        last_by_chain.insert(columns.chain.to_owned(), (columns.seq, stored.hash.to_owned()));
        Ok(())
    }

    /// Prints the last deleted event of each chain to standard output.
    fn print_deleted(&self, last_by_chain: &BTreeMap<String, (i64, String)>) {
        if let Some(stdout) = &self.stdout {
            let now = format_time(self.clock.now());
            let line =
                |(chain, (seq, hash)): (&String, &(i64, String))| checkpoint::pruned_line(&now, chain, *seq, hash);
            stdout.write_lines(last_by_chain.iter().map(line).collect());
        }
    }
}
