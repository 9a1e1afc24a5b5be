//! Collects the rows that this process writes into blocks, and has rows filled in that it did not write.

use super::block::{Block, ROWS, Values};
use super::fill::fill;
use super::table;
use crate::database::{Database, Failed};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How long after the start rows without a block are looked for.
const AFTER_START: Duration = Duration::from_secs(1);
/// Rows without a stored block after which they are filled in: groups of another process lie between all of ours.
const UNFINISHED: i64 = 8192;
/// The pauses after attempts to fill in rows that failed. After the last one, the next full block starts further attempts.
const RETRY_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15), Duration::from_mins(1)];

/// Collects rows into blocks.
pub struct BlockWriter {
    database: Database,
    block: Block,
    /// The last row of the last stored block, or the one up to which rows are being filled in.
    stored_to: i64,
    filling: JoinHandle<()>,
    /// Number of failed attempts to fill in rows, since the last success or the start of the present task.
    failed_attempts: Arc<AtomicUsize>,
}

impl BlockWriter {
    /// Starts behind the newest row. Rows before it that have no block are filled in in the background.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(database: Database) -> Result<Self, Failed> {
        let newest = database.run("SELECT coalesce(max(rowid), 0) FROM audit_events", &[]).await?;
        let newest = newest.first().ok_or_else(Failed::no_row)?.number(0)?;
        let failed_attempts = Arc::default();
        let filling = filling(database.clone(), newest, AFTER_START, Arc::clone(&failed_attempts));
        let block = Block::from_row(newest.saturating_add(1));
        Ok(Self { database, block, stored_to: newest, filling, failed_attempts })
    }

    /// Adds consecutive rows that are committed. Without the number of the last one they are filled in later.
    pub fn add<'a>(&mut self, rows: impl ExactSizeIterator<Item = (&'a str, Values<'a>)>, last: Option<i64>) {
        let Some(last) = last else { return };
        let first = last.saturating_add(1).saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if self.block.next() != first {
            // Rows of another process are between.
            self.block = Block::from_row(first);
        }
        for (time, values) in rows {
            self.block.push(time, values);
        }
    }

    /// Stores the block if it is full. If the process ends before, its rows are filled in after the next start.
    pub async fn store_if_full(&mut self) {
        if self.block.rows() >= ROWS {
            self.store().await;
        } else if self.last().saturating_sub(self.stored_to) > UNFINISHED {
            self.fill_in();
        }
    }

    async fn store(&mut self) {
        let last = self.last();
        let block = std::mem::replace(&mut self.block, Block::from_row(last.saturating_add(1)));
        let stored = table::store(&self.database, &block).await;
        if let Err(failed) = &stored {
            say(failed);
        }
        let follows = block.first <= self.stored_to.saturating_add(1);
        let has_given_up = self.failed_attempts.load(Ordering::Relaxed) >= RETRY_PAUSES.len();
        if stored.is_ok() && follows && !has_given_up {
            self.stored_to = last;
        } else {
            self.fill_in();
        }
    }

    /// The last row that was added.
    fn last(&self) -> i64 {
        self.block.next().saturating_sub(1)
    }

    fn fill_in(&mut self) {
        if self.filling.is_finished() {
            self.failed_attempts.store(0, Ordering::Relaxed);
            let last = self.last();
            self.filling = filling(self.database.clone(), last, Duration::ZERO, self.failed_attempts.clone());
            self.stored_to = last;
            // The rows collected so far are among those that are filled in: a block of them would overlap.
            self.block = Block::from_row(last.saturating_add(1));
        }
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        self.filling.abort();
    }
}

fn filling(database: Database, to: i64, after: Duration, failed_attempts: Arc<AtomicUsize>) -> JoinHandle<()> {
    tokio::spawn(async move {
        sleep(after).await;
        for pause in RETRY_PAUSES {
            let Err(failed) = fill(&database, to).await else {
                failed_attempts.store(0, Ordering::Relaxed);
                return;
            };
            say(&failed);
            failed_attempts.fetch_add(1, Ordering::Relaxed);
            sleep(pause).await;
        }
    })
}

fn say(failed: &Failed) {
    tracing::warn!(
        kind = failed.kind(),
        "the index of the audit log could not be written; queries compare more events"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::database::Url;

    /// A hundred events, and a writer behind them.
    async fn writer() -> BlockWriter {
        const FILL: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100) \
             INSERT INTO audit_events (chain, seq, prev_hash, hash, time, type, outcome, event) \
             SELECT 'c', n, '', '', '2026-01-01', 'ticket.issued', 'ok', '{}' FROM numbers";
        let database = Database::open(&Url::SqliteMemory).await.expect("opens");
        database.run(FILL, &[]).await.expect("written");
        BlockWriter::start(database).await.expect("read")
    }

    impl BlockWriter {
        async fn run(&self, sql: &'static str) -> Vec<i64> {
            let rows = self.database.run(sql, &[]).await.expect("run");
            rows.iter().map(|row| row.number(0).expect("a number")).collect()
        }

        async fn first_rows(&self) -> Vec<i64> {
            self.run("SELECT first_row FROM audit_blocks WHERE kind = 0 ORDER BY last_row").await
        }

        /// Waits until the background task has ended, at most for 15 seconds.
        async fn filled_in(&mut self) {
            tokio::time::timeout(Duration::from_secs(15), &mut self.filling).await.expect("in time").expect("no panic");
            self.filling = tokio::spawn(async {});
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
    async fn a_failed_attempt_to_fill_in_rows_is_repeated() {
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
        writer.filled_in().await;
        assert_eq!(writer.first_rows().await, [1]);
        assert_eq!(failed_attempts.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_full_block_starts_further_attempts_only_if_all_have_failed() {
        for (failed_attempts, expected) in [(RETRY_PAUSES.len() - 1, vec![101]), (RETRY_PAUSES.len(), vec![1, 101])] {
            let mut writer = writer().await;
            writer.filling.abort();
            writer.filling = tokio::spawn(async {});
            writer.failed_attempts.store(failed_attempts, Ordering::Relaxed);
            tokio::task::yield_now().await;
            writer.add_block(101..=2200).await;
            writer.filled_in().await;
            assert_eq!(writer.first_rows().await, expected);
        }
    }

    #[tokio::test]
    async fn rows_of_a_block_that_could_not_be_stored_are_filled_in() {
        let mut writer = writer().await;
        writer.filled_in().await;
        writer.run("ALTER TABLE audit_blocks RENAME TO absent").await;
        writer.run("INSERT INTO audit_events SELECT 'd', n, '', '', '2026-01-01', 'ticket.issued', 'ok', NULL, NULL, NULL, NULL, '{}' \
             FROM (WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2100) SELECT n FROM numbers)").await;
        writer.add_block(101..=2200).await;
        writer.run("ALTER TABLE absent RENAME TO audit_blocks").await;
        writer.filled_in().await;
        assert_eq!(writer.first_rows().await, [1, 101, 2149]);
    }
}
