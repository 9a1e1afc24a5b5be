//! Finds audit events in SQLite, newest first, by the blocks of hashes of `audit/blocks`.
//!
//! Blocks are read from the newest to the oldest. The rows whose hashes match are candidates, among which a statement with all
//! conditions selects. Rows without a block are scanned. Every statement reads a bounded number of rows, so that it does not
//! delay others for long.

use super::blocks::{Column, StoredBlock, blocks_below, hash_value};
use super::filter::{Cursor, Filter};
use crate::database::{Database, DatabaseError, Param, Query, Row};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::clock::format_time;
use crate::model::repo::Repo;

/// Maximum number of blocks that one statement reads.
const MAX_BLOCKS: i64 = 64;
/// Maximum number of rows that one statement scans.
const MAX_SCANNED: i64 = 32 * 1024;
/// Maximum number of candidates in one statement.
const MAX_CANDIDATES: usize = 1000;

const SELECT: &str = "SELECT rowid, time, hash, event FROM audit_events WHERE rowid ";

/// Returns the rows (row number, time, hash, text) of at most `limit` matching events, newest first, starting after the cursor.
///
/// # Errors
/// When the database cannot be read.
pub async fn find_events(
    database: &Database,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Row>, DatabaseError> {
    let mut search = Search { database, conditions: Conditions::from_filter(filter), limit, found: Vec::new() };
    let below_row = after.map_or(i64::MAX, |after| after.row);
    if search.conditions.is_empty() {
        let query = Query::new(SELECT).sql("< ").value(below_row);
        return database.read(&query.sql(" ORDER BY rowid DESC LIMIT ").value(limit)).await;
    }
    search.run(below_row).await?;
    Ok(search.found)
}

/// A filter as conditions on columns.
struct Conditions<'a> {
    /// Columns, the SQL of their condition, and the value to compare with. The most selective column is the first.
    columns: Vec<(Column, &'static str, Param<'a>)>,
    since: Option<String>,
    until: Option<String>,
}

impl<'a> Conditions<'a> {
    fn from_filter(filter: &'a Filter) -> Self {
        let columns = [
            (Column::TicketId, " AND ticket_id = ", filter.ticket_id.as_deref()),
            (Column::Repo, " AND repo = ", filter.repo.as_ref().map(Repo::as_str)),
            (Column::Subject, " AND subject = ", filter.subject.as_deref()),
            (Column::Branch, " AND branch = ", filter.branch.as_ref().map(Branch::as_str)),
            (Column::Type, " AND type = ", filter.kind.map(EventType::as_str)),
            (Column::Outcome, " AND outcome = ", filter.outcome.map(Outcome::as_str)),
        ];
        let columns = columns.into_iter().filter_map(|(column, sql, value)| Some((column, sql, Param::from(value?))));
        Self { columns: columns.collect(), since: filter.since.map(format_time), until: filter.until.map(format_time) }
    }

    const fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.since.is_none() && self.until.is_none()
    }

    /// Appends the conditions to a query.
    fn append_to<'b>(&self, mut query: Query<'b>) -> Query<'b>
    where
        'a: 'b,
    {
        for (_, column, value) in &self.columns {
            query = query.sql(column).value(value.clone());
        }
        if let Some(since) = &self.since {
            query = query.sql(" AND time >= ").value(since.clone());
        }
        if let Some(until) = &self.until {
            query = query.sql(" AND time < ").value(until.clone());
        }
        query
    }

    /// Whether the range of times of the block overlaps with the range of the filter.
    fn overlaps(&self, block: &StoredBlock) -> bool {
        self.since.as_ref().is_none_or(|since| block.until >= *since)
            && self.until.as_ref().is_none_or(|until| block.since < *until)
    }
}

struct Search<'a> {
    database: &'a Database,
    conditions: Conditions<'a>,
    limit: i64,
    found: Vec<Row>,
}

impl Search<'_> {
    /// Adds matching rows below this row to `found`, until the limit is reached.
    async fn run(&mut self, mut row: i64) -> Result<(), DatabaseError> {
        let (mut candidates, mut last_row) = (Vec::new(), row);
        loop {
            let blocks = self.read_blocks(last_row).await?;
            let is_last = i64::try_from(blocks.len()).is_ok_and(|blocks| blocks < MAX_BLOCKS);
            for (block, matching) in blocks {
                last_row = block.last_row;
                // The rows of a skipped block are scanned, like rows without a block. Of overlapping blocks the lower one is
                // skipped.
                if block.last_row >= row || !block.is_complete() {
                    continue;
                }
                let from = if matching.is_none() { block.first_row } else { block.last_row.saturating_add(1) };
                if from < row {
                    self.select_candidates(&mut candidates, 1).await?;
                    self.scan(from, row).await?;
                }
                row = block.first_row;
                candidates.extend(matching.unwrap_or_default());
                let wanted = usize::try_from(self.remaining()).unwrap_or(MAX_CANDIDATES).clamp(1, MAX_CANDIDATES);
                self.select_candidates(&mut candidates, wanted).await?;
                if self.remaining() <= 0 {
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        self.select_candidates(&mut candidates, 1).await?;
        self.scan(i64::MIN, row).await
    }

    /// Number of rows that are still wanted.
    fn remaining(&self) -> i64 {
        self.limit - i64::try_from(self.found.len()).unwrap_or(i64::MAX)
    }

    /// Returns at most [`MAX_BLOCKS`] blocks below this row, newest first, each with its candidates, newest first. `None`
    /// instead of the candidates means that every row may match, because no column is filtered.
    async fn read_blocks(&self, row: i64) -> Result<Vec<(StoredBlock, Option<Vec<i64>>)>, DatabaseError> {
        let mut columns = self.conditions.columns.iter();
        let first = columns.next();
        let blocks = blocks_below(self.database, first.map(|(column, ..)| *column), row, MAX_BLOCKS).await?;
        let candidates = |block: StoredBlock| {
            let rows = match first {
                _ if !self.conditions.overlaps(&block) => Some(Vec::new()),
                Some((.., value)) => Some(block.rows_with_hash(hash_param(value)).collect()),
                None => None,
            };
            (block, rows)
        };
        let mut blocks: Vec<(StoredBlock, Option<Vec<i64>>)> = blocks.into_iter().map(candidates).collect();
        for (column, _, value) in columns {
            if blocks.iter().all(|(_, rows)| rows.as_ref().is_some_and(Vec::is_empty)) {
                break;
            }
            let others = blocks_below(self.database, Some(*column), row, MAX_BLOCKS).await?;
            for (block, rows) in &mut blocks {
                // If the block of this column is damaged or missing (stored or deleted since the first query), no row is
                // excluded.
                let is_same = |other: &&StoredBlock| {
                    (other.first_row, other.last_row) == (block.first_row, block.last_row) && other.is_complete()
                };
                if let (Some(rows), Some(other)) = (rows, others.iter().find(is_same)) {
                    retain_common(rows, other.rows_with_hash(hash_param(value)));
                }
            }
        }
        Ok(blocks)
    }

    /// Selects the matching rows among the candidates, while there are at least `min` candidates and rows are wanted. Removes
    /// these candidates.
    async fn select_candidates(&mut self, candidates: &mut Vec<i64>, min: usize) -> Result<(), DatabaseError> {
        while candidates.len() >= min && self.remaining() > 0 {
            let rest = candidates.split_off(candidates.len().min(MAX_CANDIDATES));
            let query =
                Query::new(SELECT).sql("IN (SELECT value FROM json_each(").value(Param::Numbers(candidates.as_slice()));
            let query = self.conditions.append_to(query.sql("))"));
            let rows = self.database.read(&query.sql(" ORDER BY rowid DESC LIMIT ").value(self.remaining())).await?;
            self.found.extend(rows);
            *candidates = rest;
        }
        Ok(())
    }

    /// Scans the rows from `from` to `row` (exclusive), newest first, until no more rows are wanted.
    async fn scan(&mut self, from: i64, mut row: i64) -> Result<(), DatabaseError> {
        const NEWEST: &str = "SELECT rowid FROM audit_events WHERE rowid < ";
        while self.remaining() > 0 {
            let query = Query::new(NEWEST).value(row).sql(" AND rowid >= ").value(from);
            let newest = self.database.read(&query.sql(" ORDER BY rowid DESC LIMIT 1")).await?;
            let Some(newest) = newest.first().map(|row| row.number(0)).transpose()? else { break };
            row = from.max(newest.saturating_sub(MAX_SCANNED - 1));
            let query = Query::new(SELECT).sql(">= ").value(row).sql(" AND rowid <= ").value(newest);
            let query = self.conditions.append_to(query);
            let rows = self.database.read(&query.sql(" ORDER BY rowid DESC LIMIT ").value(self.remaining())).await?;
            self.found.extend(rows);
        }
        Ok(())
    }
}

fn hash_param(value: &Param<'_>) -> u16 {
    hash_value(value.as_text().unwrap_or_default())
}

/// Removes the rows that are not in `others`. Both are sorted, newest first.
fn retain_common(rows: &mut Vec<i64>, others: impl Iterator<Item = i64>) {
    let mut others = others.peekable();
    rows.retain(|row| {
        while others.next_if(|other| other > row).is_some() {}
        others.peek() == Some(row)
    });
}
