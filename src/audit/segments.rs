//! Measures the size of the log in segments: ranges of rows whose size is stored once no more rows are added to them.
//!
//! The rows after the segments are measured by reading them. In SQLite each row is read at most once, and not at all if
//! [`RecentRows`] has its size.

use super::recent_rows::RecentRows;
use super::row_sizes::{self, RowSizes};
use crate::database::{Database, DatabaseError, Query, UnitOfWork};
use crate::model::clock::format_time;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};

/// Bounds of the size of a segment. Only whole segments are deleted, so they are small; but a large log must have few of them.
const MIN_SEGMENT_BYTES: u64 = 64 * 1024;
const MAX_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Number of segments of a log of maximum size, unless the bounds make it smaller or larger.
const SEGMENTS_PER_LOG: u64 = 64;
/// Maximum number of rows that one statement reads.
const PAGE_ROWS: i64 = 1000;
/// Age from which on an event is settled: no replica commits an event with a lower row number any more.
const SETTLE_TIME: SignedDuration = SignedDuration::from_secs(10);

/// The size of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSize {
    /// The last row of all segments.
    last_segment_row: i64,
    /// Bytes of all segments.
    segment_bytes: u64,
    /// Bytes of the rows after the segments.
    rest_bytes: u64,
}

impl LogSize {
    /// Bytes of the whole log.
    pub const fn bytes(self) -> u64 {
        self.segment_bytes + self.rest_bytes
    }
}

/// Measures the log and stores its segments.
pub struct Segments {
    database: Database,
    max_size: Option<u64>,
    recent: Arc<RecentRows>,
    /// The last measurement. `None` for PostgreSQL, where rows of lower numbers can appear later, and after a failure.
    measured: Mutex<Option<Measured>>,
}

/// What was measured of the rows after the segments.
struct Measured {
    /// `audit_retention.runs`, which changes when any process stores a segment or deletes rows.
    runs: i64,
    rest: RowSizes,
}

impl Segments {
    pub fn new(database: Database, max_size: Option<u64>, recent: Arc<RecentRows>) -> Self {
        Self { database, max_size, recent, measured: Mutex::new(None) }
    }

    /// Measures the rows after the last segment, and stores new segments of settled rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn measure(&self, now: Timestamp) -> Result<LogSize, DatabaseError> {
        const SEGMENTS: &str = "SELECT coalesce(max(last_row), 0), CAST(coalesce(sum(bytes), 0) AS BIGINT), \
             (SELECT runs FROM audit_retention) FROM audit_segments";
        let segments = self.database.read(&Query::new(SEGMENTS)).await?;
        let row = segments.first().ok_or_else(DatabaseError::missing_row)?;
        let (last_segment_row, mut segment_bytes, mut runs) = (row.number(0)?, to_u64(row.number(1)?), row.number(2)?);
        let settled = format_time(now.saturating_sub(SETTLE_TIME).unwrap_or(Timestamp::MIN));
        let now = format_time(now);
        let measured = self.replace_measured(None).filter(|measured| measured.runs == runs);
        let mut rest = measured.map_or_else(|| RowSizes::starting_after(last_segment_row), |measured| measured.rest);
        rest.append(self.recent.take_sizes());
        let mut may_insert = true;
        loop {
            let is_last_page = self.read_page(&mut rest).await?;
            while may_insert && let Some((last, bytes)) = rest.first_settled(self.segment_size(), &settled, &now) {
                // False if another replica has stored these rows. The next measurement then reads its segment.
                may_insert = self.insert_segment(rest.after(), last, bytes).await?;
                if may_insert {
                    rest.remove_up_to(last);
                    segment_bytes += bytes;
                    runs += 1;
                }
            }
            if is_last_page {
                break;
            }
            tokio::task::yield_now().await;
        }
        let size = LogSize { last_segment_row: rest.after(), segment_bytes, rest_bytes: rest.bytes() };
        if !self.database.is_remote() {
            self.replace_measured(Some(Measured { runs, rest }));
        }
        Ok(size)
    }

    fn replace_measured(&self, measured: Option<Measured>) -> Option<Measured> {
        std::mem::replace(&mut *self.measured.lock().unwrap_or_else(PoisonError::into_inner), measured)
    }

    /// Reads the next rows. Returns whether they are the last ones.
    async fn read_page(&self, rest: &mut RowSizes) -> Result<bool, DatabaseError> {
        let page = Query::new(row_sizes::SELECT).value(rest.last_row()).sql(" ORDER BY rowid LIMIT ").value(PAGE_ROWS);
        let rows = self.database.read(&page).await?;
        for row in &rows {
            rest.push(row.number(0)?, row.str(1)?, to_u64(row.number(2)?));
        }
        Ok(i64::try_from(rows.len()).is_ok_and(|rows| rows < PAGE_ROWS))
    }

    /// Returns the last row of those oldest segments that must be deleted to get below the size limit. `None` if the log is
    /// within the limit. The segments are read again, in one statement, because another replica may have deleted some.
    ///
    /// Also returns `None` if another replica has added a segment since the measurement, because its rows would count twice: in
    /// the segment and in `rest_bytes`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_excess_row(&self, size: LogSize) -> Result<Option<i64>, DatabaseError> {
        const OLDEST: &str = "SELECT last_row, bytes, (SELECT CAST(sum(bytes) AS BIGINT) FROM audit_segments), \
             (SELECT max(last_row) FROM audit_segments) FROM audit_segments ORDER BY last_row LIMIT 10000";
        let Some(max_size) = self.max_size.filter(|max_size| size.bytes() > *max_size) else { return Ok(None) };
        let mut last_excess_row = None;
        let mut remaining = None;
        for row in self.database.read(&Query::new(OLDEST)).await? {
            if row.number(3)? != size.last_segment_row {
                return Ok(None);
            }
            let bytes = remaining.map_or_else(|| row.number(2).map(|bytes| to_u64(bytes) + size.rest_bytes), Ok)?;
            if bytes <= max_size {
                break;
            }
            last_excess_row = Some(row.number(0)?);
            remaining = Some(bytes.saturating_sub(to_u64(row.number(1)?)));
        }
        Ok(last_excess_row)
    }

    /// Deletes the segments up to this row.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_up_to(work: &mut UnitOfWork, row: i64) -> Result<(), DatabaseError> {
        work.run("DELETE FROM audit_segments WHERE last_row <= $1", &[row.into()]).await.map(|_| ())
    }

    /// Stores the segment of the rows from `after` (exclusive) to `last`. Returns false if another replica has stored some of
    /// these rows.
    async fn insert_segment(&self, after: i64, last: i64, bytes: u64) -> Result<bool, DatabaseError> {
        const INSERT: &str = "INSERT INTO audit_segments (last_row, bytes) VALUES ($1, $2)";
        let mut work = self.database.begin().await?;
        work.run("UPDATE audit_retention SET runs = runs + 1", &[]).await?;
        let newest = work.run("SELECT coalesce(max(last_row), 0) FROM audit_segments", &[]).await?;
        if newest.first().ok_or_else(DatabaseError::missing_row)?.number(0)? > after {
            return Ok(false);
        }
        work.run(INSERT, &[last.into(), i64::try_from(bytes).unwrap_or(i64::MAX).into()]).await?;
        work.commit().await?;
        Ok(true)
    }

    /// Minimum size of a new segment in bytes.
    fn segment_size(&self) -> u64 {
        self.max_size.map_or(MAX_SEGMENT_BYTES, |max_size| {
            (max_size / SEGMENTS_PER_LOG).clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)
        })
    }
}

fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::database::Url;

    const MAX_SIZE: u64 = 1024 * 1024;

    /// The size of the rows above this row.
    async fn bytes_above(database: &Database, row: i64) -> u64 {
        const SIZE: &str = "SELECT CAST(sum(1200 + octet_length(event)) AS BIGINT) FROM audit_events WHERE rowid > $1";
        to_u64(database.run(SIZE, &[row.into()]).await.unwrap()[0].number(0).unwrap())
    }

    /// An audit log of this many rows of 2000 bytes each.
    async fn log_of(rows: u64) -> Database {
        const INSERT_ROWS: &str = "WITH RECURSIVE numbers (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM numbers WHERE seq < $1) \
             INSERT INTO audit_events (chain, seq, prev_hash, hash, time, type, outcome, event) \
             SELECT 'c', seq, '', '', '2026-01-01T00:00:00.000000Z', '', '', substr(hex(zeroblob(400)), 1, 800) FROM numbers";
        let database = Database::open(&Url::SqliteMemory).await.unwrap();
        database.run(INSERT_ROWS, &[i64::try_from(rows).unwrap().into()]).await.unwrap();
        database
    }

    #[tokio::test]
    async fn rows_are_not_counted_twice_if_another_replica_stores_their_segment() {
        let database = log_of(MAX_SIZE * 105 / 100 / 2000).await;
        let segments = || Segments::new(database.clone(), Some(MAX_SIZE), Arc::default());
        let (a, b) = (segments(), segments());
        let written: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let settled = written + SignedDuration::from_secs(11);
        // For replica `a` no row is settled. Replica `b` measures later and stores segments.
        let by_a = a.measure(written).await.unwrap();
        let by_b = b.measure(settled).await.unwrap();
        assert_eq!(by_a.bytes(), by_b.bytes());
        assert!(by_a.bytes() > MAX_SIZE && by_b.segment_bytes > 0 && by_a.segment_bytes == 0);
        assert_eq!(a.last_excess_row(by_a).await.unwrap(), None, "nearly all rows would count twice");
        assert!(!a.insert_segment(0, 10, 1).await.unwrap(), "`b` has stored these rows");
        let second = a.measure(settled).await.unwrap();
        let last_row = a.last_excess_row(second).await.unwrap().unwrap();
        assert_eq!(b.last_excess_row(by_b).await.unwrap(), Some(last_row));
        let remaining = bytes_above(&database, last_row).await;
        assert!((MAX_SIZE - MIN_SEGMENT_BYTES - 4096..=MAX_SIZE).contains(&remaining), "{remaining}");
    }
}
