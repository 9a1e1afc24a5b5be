//! Creates the blocks of rows that have none: rows of an earlier version of Claviger, of another process, and of a process that
//! ended before its block was full.

use super::block::{Block, ROWS_PER_BLOCK};
use super::table;
use crate::database::{Database, DatabaseError, Query};
use std::time::Duration;
use tokio::time::sleep;

/// The pause after each block, in which other readers and writers can use the database.
const PAUSE: Duration = Duration::from_millis(5);
/// Maximum number of blocks that one statement reads.
const PAGE_BLOCKS: i64 = 1000;

/// Creates blocks for all rows up to `last_row` that have none.
///
/// # Errors
/// When the database fails. The blocks that were created before stay.
pub async fn backfill(database: &Database, last_row: i64) -> Result<(), DatabaseError> {
    let mut first_row = i64::MIN;
    loop {
        let blocks = table::block_ranges_from(database, first_row, PAGE_BLOCKS).await?;
        for (first, last) in &blocks {
            backfill_gap(database, first_row, first.saturating_sub(1).min(last_row)).await?;
            first_row = first_row.max(last.saturating_add(1));
        }
        if first_row > last_row || i64::try_from(blocks.len()).is_ok_and(|blocks| blocks < PAGE_BLOCKS) {
            return backfill_gap(database, first_row, last_row).await;
        }
    }
}

async fn backfill_gap(database: &Database, mut first_row: i64, last_row: i64) -> Result<(), DatabaseError> {
    const SELECT: &str =
        "SELECT rowid, time, type, outcome, subject, repo, branch, ticket_id FROM audit_events WHERE rowid >= ";
    while first_row <= last_row {
        let query = Query::new(SELECT).value(first_row).sql(" AND rowid <= ").value(last_row);
        let limit = i64::try_from(ROWS_PER_BLOCK).unwrap_or(i64::MAX);
        let rows = database.read(&query.sql(" ORDER BY rowid LIMIT ").value(limit)).await?;
        let Some(first) = rows.first() else { return Ok(()) };
        let mut block = Block::starting_at(first.number(0)?);
        for row in &rows {
            let number = row.number(0)?;
            if number.saturating_sub(block.first_row) >= limit {
                break;
            }
            while block.next_row() < number {
                block.push_missing_row();
            }
            let [kind, outcome] = [row.str(2)?, row.str(3)?].map(Some);
            let [subject, repo, branch, ticket] =
                [row.optional_str(4)?, row.optional_str(5)?, row.optional_str(6)?, row.optional_str(7)?];
            block.push(row.str(1)?, [kind, outcome, subject, repo, branch, ticket]);
        }
        match table::insert_block(database, &block).await {
            // Another process has inserted it.
            Err(error) if error.is_duplicate() => {}
            result => result?,
        }
        first_row = block.next_row();
        sleep(PAUSE).await;
    }
    Ok(())
}
