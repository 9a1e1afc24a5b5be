//! Collects the rows that this process writes into blocks, and has rows filled in that it did not write.

use super::block::{Block, ROWS, Values};
use super::fill::fill;
use super::table;
use crate::database::{Database, Failed};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How long after the start rows without a block are looked for.
const AFTER_START: Duration = Duration::from_secs(1);
/// Rows without a stored block after which they are filled in: groups of another process lie between all of ours.
const UNFINISHED: i64 = 8192;

/// Collects rows into blocks.
pub struct BlockWriter {
    database: Database,
    block: Block,
    /// The last row of the last stored block, or the one up to which rows are being filled in.
    stored_to: i64,
    filling: JoinHandle<()>,
}

impl BlockWriter {
    /// Starts behind the newest row. Rows before it that have no block are filled in in the background.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(database: Database) -> Result<Self, Failed> {
        let newest = database.run("SELECT coalesce(max(rowid), 0) FROM audit_events", &[]).await?;
        let newest = newest.first().ok_or_else(Failed::no_row)?.number(0)?;
        let filling = filling(database.clone(), newest, AFTER_START);
        Ok(Self { database, block: Block::from_row(newest.saturating_add(1)), stored_to: newest, filling })
    }

    /// Adds consecutive rows that are committed. Without the number of the last one they are filled in later.
    pub async fn add<'a>(&mut self, rows: impl ExactSizeIterator<Item = (&'a str, Values<'a>)>, last: Option<i64>) {
        let Some(last) = last else { return };
        let first = last.saturating_add(1).saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        if self.block.next() != first {
            // Rows of another process are between.
            self.block = Block::from_row(first);
        }
        for (time, values) in rows {
            self.block.push(time, values);
        }
        if self.block.rows() >= ROWS {
            self.store(last).await;
        } else if last.saturating_sub(self.stored_to) > UNFINISHED {
            self.fill_to(last);
        }
    }

    async fn store(&mut self, last: i64) {
        let block = std::mem::replace(&mut self.block, Block::from_row(last.saturating_add(1)));
        match table::store(&self.database, &block).await {
            Ok(()) if block.first <= self.stored_to.saturating_add(1) => self.stored_to = last,
            Ok(()) => self.fill_to(last),
            Err(failed) => say(&failed),
        }
    }

    fn fill_to(&mut self, last: i64) {
        if self.filling.is_finished() {
            self.filling = filling(self.database.clone(), last, Duration::ZERO);
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

fn filling(database: Database, to: i64, after: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        sleep(after).await;
        if let Err(failed) = fill(&database, to).await {
            say(&failed);
        }
    })
}

fn say(failed: &Failed) {
    tracing::warn!(
        kind = failed.kind(),
        "the index of the audit log could not be written; queries compare more events"
    );
}
