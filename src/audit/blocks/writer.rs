//! Collects the rows that this process writes into blocks, and starts the backfill of other rows in the background.

use super::backfill::backfill;
use super::block::{Block, FilterValues, ROWS_PER_BLOCK};
use super::table;
use crate::database::{Database, DatabaseError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Delay of the first backfill after the start.
const START_DELAY: Duration = Duration::from_secs(1);
/// Number of rows without a block after which a backfill starts. No block becomes full while rows of another process lie
/// between all rows of this one.
const MAX_UNINDEXED_ROWS: i64 = 8192;
/// The pauses after failed attempts of a backfill. After the last one, the next full block starts a new backfill.
const RETRY_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15), Duration::from_mins(1)];

/// Collects rows into blocks.
pub struct BlockWriter {
    database: Database,
    block: Block,
    /// The last row of the last stored block, or the last row of the running backfill.
    indexed_up_to: i64,
    backfill: JoinHandle<()>,
    /// Number of failed attempts since the start or the success of the last backfill.
    failed_attempts: Arc<AtomicUsize>,
}

impl BlockWriter {
    /// Starts after the newest row. A backfill of the rows up to it runs in the background.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(database: Database) -> Result<Self, DatabaseError> {
        let newest = database.run("SELECT coalesce(max(rowid), 0) FROM audit_events", &[]).await?;
        let newest = newest.first().ok_or_else(DatabaseError::missing_row)?.number(0)?;
        let failed_attempts = Arc::default();
        let backfill = spawn_backfill(database.clone(), newest, START_DELAY, Arc::clone(&failed_attempts));
        let block = Block::starting_at(newest.saturating_add(1));
        Ok(Self { database, block, indexed_up_to: newest, backfill, failed_attempts })
    }

    /// Adds consecutive committed rows. If the number of the last row is unknown, the rows are left to a later backfill.
    pub fn add<'a>(&mut self, rows: impl ExactSizeIterator<Item = (&'a str, FilterValues<'a>)>, last_row: Option<i64>) {
        let Some(last_row) = last_row else { return };
        let first_row = last_row.saturating_add(1).saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if self.block.next_row() != first_row {
            // Another process has written rows in between.
            self.block = Block::starting_at(first_row);
        }
        for (time, values) in rows {
            self.block.push(time, values);
        }
    }

    /// Stores the block if it is full. If the process ends before that, the backfill after the next start stores its rows.
    pub async fn store_if_full(&mut self) {
        if self.block.row_count() >= ROWS_PER_BLOCK {
            self.store().await;
        } else if self.last_row().saturating_sub(self.indexed_up_to) > MAX_UNINDEXED_ROWS {
            self.start_backfill();
        }
    }

    async fn store(&mut self) {
        let last_row = self.last_row();
        let block = std::mem::replace(&mut self.block, Block::starting_at(last_row.saturating_add(1)));
        let result = table::insert_block(&self.database, &block).await;
        if let Err(error) = &result {
            log_error(error);
        }
        let has_gap = block.first_row > self.indexed_up_to.saturating_add(1);
        let backfill_failed = self.failed_attempts.load(Ordering::Relaxed) >= RETRY_PAUSES.len();
        if result.is_ok() && !has_gap && !backfill_failed {
            self.indexed_up_to = last_row;
        } else {
            self.start_backfill();
        }
    }

    /// The number of the last row that was added.
    fn last_row(&self) -> i64 {
        self.block.next_row().saturating_sub(1)
    }

    fn start_backfill(&mut self) {
        if self.backfill.is_finished() {
            self.failed_attempts.store(0, Ordering::Relaxed);
            let last_row = self.last_row();
            let failed_attempts = self.failed_attempts.clone();
            self.backfill = spawn_backfill(self.database.clone(), last_row, Duration::ZERO, failed_attempts);
            self.indexed_up_to = last_row;
            // The backfill includes the rows collected so far, so a block of them would overlap with its blocks.
            self.block = Block::starting_at(last_row.saturating_add(1));
        }
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        self.backfill.abort();
    }
}

fn spawn_backfill(
    database: Database,
    last_row: i64,
    delay: Duration,
    failed_attempts: Arc<AtomicUsize>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        sleep(delay).await;
        for pause in RETRY_PAUSES {
            let Err(error) = backfill(&database, last_row).await else {
                failed_attempts.store(0, Ordering::Relaxed);
                return;
            };
            log_error(&error);
            failed_attempts.fetch_add(1, Ordering::Relaxed);
            sleep(pause).await;
        }
    })
}

fn log_error(error: &DatabaseError) {
    tracing::warn!(kind = error.kind(), "the index of the audit log could not be written; queries compare more events");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::database::Url;

    /// A writer that starts after a hundred events.
    async fn writer() -> BlockWriter {
        const INSERT_EVENTS: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100) \
             INSERT INTO audit_events (chain, seq, prev_hash, hash, time, type, outcome, event) \
             SELECT 'c', n, '', '', '2026-01-01', 'ticket.issued', 'ok', '{}' FROM numbers";
        let database = Database::open(&Url::SqliteMemory).await.expect("opens");
        database.run(INSERT_EVENTS, &[]).await.expect("written");
        BlockWriter::start(database).await.expect("read")
    }

    impl BlockWriter {
        async fn run(&self, sql: &'static str) -> Vec<i64> {
            let rows = self.database.run(sql, &[]).await.expect("run");
            rows.iter().map(|row| row.number(0).expect("a number")).collect()
        }

        async fn first_rows_of_blocks(&self) -> Vec<i64> {
            self.run("SELECT first_row FROM audit_blocks WHERE kind = 0 ORDER BY last_row").await
        }

        /// Waits until the background task has ended, at most for 15 seconds.
        async fn wait_for_backfill(&mut self) {
            tokio::time::timeout(Duration::from_secs(15), &mut self.backfill)
                .await
                .expect("in time")
                .expect("no panic");
            self.backfill = tokio::spawn(async {});
        }

        async fn add_block(&mut self, rows: std::ops::RangeInclusive<i64>) {
            let last = *rows.end();
            let rows: Vec<i64> = rows.collect();
            self.add(
                rows.iter().map(|_| ("2026-01-01", [Some("ticket.issued"), None, None, None, None, None])),
                Some(last),
            );
            self.store_if_full().await;
        }
    }

    #[tokio::test]
    async fn a_failed_attempt_of_a_backfill_is_retried() {
        let mut writer = writer().await;
        writer.run("ALTER TABLE audit_blocks RENAME TO absent").await;
        let failed_attempts = writer.failed_attempts.clone();
        let fails = async {
            while failed_attempts.load(Ordering::Relaxed) == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), fails).await.expect("the table is absent");
        writer.run("ALTER TABLE absent RENAME TO audit_blocks").await;
        writer.wait_for_backfill().await;
        assert_eq!(writer.first_rows_of_blocks().await, [1]);
        assert_eq!(failed_attempts.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_full_block_starts_a_backfill_only_if_all_attempts_failed() {
        for (failed_attempts, expected) in [(RETRY_PAUSES.len() - 1, vec![101]), (RETRY_PAUSES.len(), vec![1, 101])] {
            let mut writer = writer().await;
            writer.backfill.abort();
            writer.backfill = tokio::spawn(async {});
            writer.failed_attempts.store(failed_attempts, Ordering::Relaxed);
            tokio::task::yield_now().await;
            writer.add_block(101..=2200).await;
            writer.wait_for_backfill().await;
            assert_eq!(writer.first_rows_of_blocks().await, expected);
        }
    }

    #[tokio::test]
    async fn a_backfill_stores_the_rows_of_a_block_that_could_not_be_stored() {
        let mut writer = writer().await;
        writer.wait_for_backfill().await;
        writer.run("ALTER TABLE audit_blocks RENAME TO absent").await;
        writer.run("INSERT INTO audit_events SELECT 'd', n, '', '', '2026-01-01', 'ticket.issued', 'ok', NULL, NULL, NULL, NULL, '{}' \
             FROM (WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2100) SELECT n FROM numbers)").await;
        writer.add_block(101..=2200).await;
        writer.run("ALTER TABLE absent RENAME TO audit_blocks").await;
        writer.wait_for_backfill().await;
        assert_eq!(writer.first_rows_of_blocks().await, [1, 101, 2149]);
    }
}
