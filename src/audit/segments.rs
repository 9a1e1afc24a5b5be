//! Measures the size of the log, in segments. A segment is measured once, when no more rows are added to it.
//!
//! A server reports the size of a table but not how much of it is in use, and an SQLite file contains other
//! tables. So the sizes of rows are added up. The size of a row beyond its text is an upper estimate, measured on
//! both databases.

use crate::database::{Database, Failed, Query, Work};
use jiff::{SignedDuration, Timestamp};

/// Bytes of a segment: small, so that few events more than necessary are deleted, but large enough that a large
/// log has few segments.
const MIN_SEGMENT_BYTES: u64 = 64 * 1024;
const MAX_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Number of segments of a log of maximum size.
const SEGMENTS_PER_LOG: u64 = 64;
/// Number of rows per read.
const PAGE: i64 = 1000;
/// A younger event may still be followed by one with a lower row number, which another replica has not yet
/// committed.
const SETTLE_TIME: SignedDuration = SignedDuration::from_secs(10);

const ROWS: &str = "SELECT rowid, time, CAST(1200 + octet_length(event) + 3 * (octet_length(coalesce(subject, '')) \
     + octet_length(coalesce(repo, '')) + octet_length(coalesce(branch, ''))) AS BIGINT) FROM audit_events WHERE rowid > ";

/// The size of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The last row of all segments.
    sealed_to: i64,
    /// Their bytes.
    sealed: u64,
    /// Bytes of the rows after them.
    rest: u64,
}

impl Measured {
    /// Bytes of the whole log.
    pub const fn bytes(self) -> u64 {
        self.sealed + self.rest
    }
}

/// Measures the log.
pub struct Segments {
    database: Database,
    max_size: Option<u64>,
}

impl Segments {
    pub fn new(database: Database, max_size: Option<u64>) -> Self {
        Self { database, max_size }
    }

    /// Measures the rows that were not measured before.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn measure(&self, now: Timestamp) -> Result<Measured, Failed> {
        const SEALED_SEGMENTS: &str =
            "SELECT coalesce(max(last_row), 0), CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM audit_segments";
        let so_far = self.database.read(&Query::new(SEALED_SEGMENTS)).await?;
        let row = so_far.first().ok_or_else(Failed::no_row)?;
        let (mut sealed_to, mut sealed) = (row.number(0)?, whole(row.number(1)?));
        let settled = format!("{:.6}", now.saturating_sub(SETTLE_TIME).unwrap_or(Timestamp::MIN));
        let (mut after, mut bytes, mut may_seal) = (sealed_to, 0, true);
        loop {
            let page = Query::new(ROWS).value(after).then(" ORDER BY rowid LIMIT ").value(PAGE);
            let rows = self.database.read(&page).await?;
            for row in &rows {
                after = row.number(0)?;
                bytes += whole(row.number(2)?);
                may_seal &= row.str(1)? < settled.as_str();
                if may_seal && bytes >= self.segment() {
                    // Another replica may have measured the same rows; then the next measurement counts them.
                    may_seal = self.seal(sealed_to, after, bytes).await?;
                    if may_seal {
                        (sealed_to, sealed, bytes) = (after, sealed + bytes, 0);
                    }
                }
            }
            if i64::try_from(rows.len()).is_ok_and(|rows| rows < PAGE) {
                return Ok(Measured { sealed_to, sealed, rest: bytes });
            }
            tokio::task::yield_now().await;
        }
    }

    /// The last row of the oldest segments that must be deleted to reach the limit; `None` if the log is within
    /// it. The segments are read again, in one statement, because another replica may be deleting some. Also
    /// `None` if another replica has added a segment: it contains rows that were measured here as unsegmented, and
    /// nothing may be deleted because of a double count.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn end_of_excess(&self, measured: Measured) -> Result<Option<i64>, Failed> {
        const OLDEST: &str = "SELECT last_row, bytes, (SELECT CAST(sum(bytes) AS BIGINT) FROM audit_segments), \
             (SELECT max(last_row) FROM audit_segments) FROM audit_segments ORDER BY last_row LIMIT 10000";
        let Some(most) = self.max_size.filter(|most| measured.bytes() > *most) else { return Ok(None) };
        let mut cut = None;
        let mut size = None;
        for row in self.database.read(&Query::new(OLDEST)).await? {
            if row.number(3)? != measured.sealed_to {
                return Ok(None);
            }
            let left = size.map_or_else(|| row.number(2).map(|sealed| whole(sealed) + measured.rest), Ok)?;
            if left <= most {
                break;
            }
            cut = Some(row.number(0)?);
            size = Some(left.saturating_sub(whole(row.number(1)?)));
        }
        Ok(cut)
    }

    /// Removes the segments of events that are deleted up to this row.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn forget(work: &mut Work, row: i64) -> Result<(), Failed> {
        work.run("DELETE FROM audit_segments WHERE last_row <= $1", &[row.into()]).await.map(|_| ())
    }

    /// Stores the size of the rows after `first`, unless another replica has stored some of them.
    async fn seal(&self, first: i64, last: i64, bytes: u64) -> Result<bool, Failed> {
        const INSERT: &str = "INSERT INTO audit_segments (last_row, bytes) VALUES ($1, $2)";
        let mut work = self.database.begin().await?;
        work.run("UPDATE audit_retention SET runs = runs + 1", &[]).await?;
        let newest = work.run("SELECT coalesce(max(last_row), 0) FROM audit_segments", &[]).await?;
        if newest.first().ok_or_else(Failed::no_row)?.number(0)? > first {
            return Ok(false);
        }
        work.run(INSERT, &[last.into(), i64::try_from(bytes).unwrap_or(i64::MAX).into()]).await?;
        work.commit().await?;
        Ok(true)
    }

    fn segment(&self) -> u64 {
        self.max_size
            .map_or(MAX_SEGMENT_BYTES, |most| (most / SEGMENTS_PER_LOG).clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES))
    }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::database::Url;

    const MOST: u64 = 1024 * 1024;

    /// The remaining bytes if everything up to this row is deleted.
    async fn left_behind(database: &Database, row: i64) -> u64 {
        const LEFT: &str = "SELECT CAST(sum(1200 + octet_length(event)) AS BIGINT) FROM audit_events WHERE rowid > $1";
        whole(database.run(LEFT, &[row.into()]).await.unwrap()[0].number(0).unwrap())
    }

    /// An audit log of this many rows of 2000 bytes each.
    async fn log_of(rows: u64) -> Database {
        const FILL: &str = "WITH RECURSIVE numbers (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM numbers WHERE seq < $1) \
             INSERT INTO audit_events (chain, seq, prev_hash, hash, time, type, outcome, event) \
             SELECT 'c', seq, '', '', '2026-01-01T00:00:00.000000Z', '', '', substr(hex(zeroblob(400)), 1, 800) FROM numbers";
        let database = Database::open(&Url::SqliteMemory).await.unwrap();
        database.run(FILL, &[i64::try_from(rows).unwrap().into()]).await.unwrap();
        database
    }

    #[tokio::test]
    async fn rows_that_another_replica_has_measured_meanwhile_do_not_count_twice() {
        let database = log_of(MOST * 105 / 100 / 2000).await;
        let (a, b) = (Segments::new(database.clone(), Some(MOST)), Segments::new(database.clone(), Some(MOST)));
        let written: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let settled = written + SignedDuration::from_secs(11);
        // For replica `a` all rows may still grow; `b` stores the sizes before `a` measures them.
        let by_a = a.measure(written).await.unwrap();
        let by_b = b.measure(settled).await.unwrap();
        assert_eq!(by_a.bytes(), by_b.bytes());
        assert!(by_a.bytes() > MOST && by_b.sealed > 0 && by_a.sealed == 0);
        assert_eq!(a.end_of_excess(by_a).await.unwrap(), None, "it would have counted nearly everything twice");
        assert!(!a.seal(0, 10, 1).await.unwrap(), "what is kept already is not kept again");
        // The next measurement counts it.
        let again = a.measure(settled).await.unwrap();
        let cut = a.end_of_excess(again).await.unwrap().unwrap();
        assert_eq!(b.end_of_excess(by_b).await.unwrap(), Some(cut));
        let left = left_behind(&database, cut).await;
        assert!((MOST - MIN_SEGMENT_BYTES - 4096..=MOST).contains(&left), "{left}");
    }
}
