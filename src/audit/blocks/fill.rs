//! Makes blocks of rows that have none: of a database of an earlier version, of another process, and of one that ended before its
//! block was full.

use super::block::{Block, ROWS};
use super::table;
use crate::database::{Database, Failed, Query};
use std::time::Duration;
use tokio::time::sleep;

/// The pause after a block, for other readers and writers.
const PAUSE: Duration = Duration::from_millis(5);
/// Blocks of one statement.
const PAGE: i64 = 1000;

/// Makes blocks of all rows up to this one that have none.
///
/// # Errors
/// When the database fails. Finished blocks stay.
pub async fn fill(database: &Database, to: i64) -> Result<(), Failed> {
    let mut from = i64::MIN;
    loop {
        let blocks = table::above(database, from, PAGE).await?;
        for (first, last) in &blocks {
            fill_gap(database, from, first.saturating_sub(1).min(to)).await?;
            from = from.max(last.saturating_add(1));
        }
        if from > to || i64::try_from(blocks.len()).is_ok_and(|blocks| blocks < PAGE) {
            return fill_gap(database, from, to).await;
        }
    }
}

async fn fill_gap(database: &Database, mut from: i64, to: i64) -> Result<(), Failed> {
    const COLUMNS: &str =
        "SELECT rowid, time, type, outcome, subject, repo, branch, ticket_id FROM audit_events WHERE rowid >= ";
    while from <= to {
        let query = Query::new(COLUMNS).value(from).then(" AND rowid <= ").value(to);
        let limit = i64::try_from(ROWS).unwrap_or(i64::MAX);
        let rows = database.read(&query.then(" ORDER BY rowid LIMIT ").value(limit)).await?;
        let Some(first) = rows.first() else { return Ok(()) };
        let mut block = Block::from_row(first.number(0)?);
        for row in &rows {
            let number = row.number(0)?;
            if number.saturating_sub(block.first) >= limit {
                break;
            }
            while block.next() < number {
                block.push_missing();
            }
            let [kind, outcome] = [row.str(2)?, row.str(3)?].map(Some);
            let [subject, repo, branch, ticket] =
                [row.str_if_any(4)?, row.str_if_any(5)?, row.str_if_any(6)?, row.str_if_any(7)?];
            block.push(row.str(1)?, [kind, outcome, subject, repo, branch, ticket]);
        }
        match table::store(database, &block).await {
            // Another process has made it.
            Err(failed) if failed.is_duplicate() => {}
            stored => stored?,
        }
        from = block.next();
        sleep(PAUSE).await;
    }
    Ok(())
}
