//! Finds audit events in SQLite, newest first, by the blocks of hashes of `audit/blocks`.
//!
//! Blocks are read from the newest to the oldest. The rows of a block whose hashes match are candidates; a statement with all
//! conditions selects among them. Rows that are in no block are scanned. Every statement reads a bounded number of rows, so that
//! it does not block writers for long.

use super::blocks::{Column, Listed, below, hash};
use super::filter::{Cursor, Filter, format_time};
use crate::database::{Database, Failed, Param, Query, Row};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;

/// Maximum number of blocks that one statement reads.
const MAX_BLOCKS: i64 = 64;
/// Maximum number of rows that one statement scans.
const MAX_SCANNED: i64 = 32 * 1024;
/// Maximum number of candidates in one statement.
const MAX_CANDIDATES: usize = 1000;

const SELECT: &str = "SELECT rowid, time, hash, event FROM audit_events WHERE rowid ";

/// Returns the rows (row number, time, hash, text) of at most `limit` events that match, newest first, starting behind `after`.
///
/// # Errors
/// When the database cannot be read.
pub async fn events(
    database: &Database,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Row>, Failed> {
    let mut search = Search { database, conditions: Conditions::from_filter(filter), limit, found: Vec::new() };
    let below_row = after.map_or(i64::MAX, |after| after.row);
    if search.conditions.is_empty() {
        let query = Query::new(SELECT).then("< ").value(below_row);
        return database.read(&query.then(" ORDER BY rowid DESC LIMIT ").value(limit)).await;
    }
    search.run(below_row).await?;
    Ok(search.found)
}

/// A filter as conditions on columns.
struct Conditions<'a> {
    /// Columns with their SQL and value, the most selective first.
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
            query = query.then(column).value(value.clone());
        }
        if let Some(since) = &self.since {
            query = query.then(" AND time >= ").value(since.clone());
        }
        if let Some(until) = &self.until {
            query = query.then(" AND time < ").value(until.clone());
        }
        query
    }

    /// Whether the range of times of the block overlaps with the range of the filter.
    fn overlaps(&self, block: &Listed) -> bool {
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
    async fn run(&mut self, mut row: i64) -> Result<(), Failed> {
        let (mut candidates, mut listed) = (Vec::new(), row);
        loop {
            let blocks = self.blocks(listed).await?;
            let is_last = i64::try_from(blocks.len()).is_ok_and(|blocks| blocks < MAX_BLOCKS);
            for (block, matching) in blocks {
                listed = block.last;
                // The rows of a skipped block are scanned, like rows in no block. Of overlapping blocks the lower one is skipped.
                if block.last >= row || !block.is_whole() {
                    continue;
                }
                let from = if matching.is_none() { block.first } else { block.last.saturating_add(1) };
                if from < row {
                    self.select_candidates(&mut candidates, 1).await?;
                    self.scan(from, row).await?;
                }
                row = block.first;
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

    /// Returns at most [`MAX_BLOCKS`] blocks below this row and their candidates, both newest first. `None` instead of candidates
    /// if every row may match.
    async fn blocks(&self, row: i64) -> Result<Vec<(Listed, Option<Vec<i64>>)>, Failed> {
        let mut columns = self.conditions.columns.iter();
        let first = columns.next();
        let blocks = below(self.database, first.map(|(column, ..)| *column), row, MAX_BLOCKS).await?;
        let candidates = |block: Listed| {
            let rows = match first {
                _ if !self.conditions.overlaps(&block) => Some(Vec::new()),
                Some((.., value)) => Some(block.rows_with(hash_of(value)).collect()),
                None => None,
            };
            (block, rows)
        };
        let mut blocks: Vec<(Listed, Option<Vec<i64>>)> = blocks.into_iter().map(candidates).collect();
        for (column, _, value) in columns {
            if blocks.iter().all(|(_, rows)| rows.as_ref().is_some_and(Vec::is_empty)) {
                break;
            }
            let others = below(self.database, Some(*column), row, MAX_BLOCKS).await?;
            for (block, rows) in &mut blocks {
                // If the block of this column is missing (stored or deleted meanwhile) or damaged, it excludes no row.
                let is_same =
                    |other: &&Listed| (other.first, other.last) == (block.first, block.last) && other.is_whole();
                if let (Some(rows), Some(other)) = (rows, others.iter().find(is_same)) {
                    retain_common(rows, other.rows_with(hash_of(value)));
                }
            }
        }
        Ok(blocks)
    }

    /// Selects the matching rows among the candidates, in order, while there are at least `min` candidates and rows are wanted.
    async fn select_candidates(&mut self, candidates: &mut Vec<i64>, min: usize) -> Result<(), Failed> {
        while candidates.len() >= min && self.remaining() > 0 {
            let rest = candidates.split_off(candidates.len().min(MAX_CANDIDATES));
            let query = Query::new(SELECT)
                .then("IN (SELECT value FROM json_each(")
                .value(Param::Numbers(candidates.as_slice()));
            let query = self.conditions.append_to(query.then("))"));
            let rows = self.database.read(&query.then(" ORDER BY rowid DESC LIMIT ").value(self.remaining())).await?;
            self.found.extend(rows);
            *candidates = rest;
        }
        Ok(())
    }

    /// Scans the rows from `from` up to but without `row`, in parts, newest first, until no more rows are wanted.
    async fn scan(&mut self, from: i64, mut row: i64) -> Result<(), Failed> {
        const NEWEST: &str = "SELECT rowid FROM audit_events WHERE rowid < ";
        while self.remaining() > 0 {
            let query = Query::new(NEWEST).value(row).then(" AND rowid >= ").value(from);
            let newest = self.database.read(&query.then(" ORDER BY rowid DESC LIMIT 1")).await?;
            let Some(newest) = newest.first().map(|row| row.number(0)).transpose()? else { break };
            row = from.max(newest.saturating_sub(MAX_SCANNED - 1));
            let query = Query::new(SELECT).then(">= ").value(row).then(" AND rowid <= ").value(newest);
            let query = self.conditions.append_to(query);
            let rows = self.database.read(&query.then(" ORDER BY rowid DESC LIMIT ").value(self.remaining())).await?;
            self.found.extend(rows);
        }
        Ok(())
    }
}

fn hash_of(value: &Param<'_>) -> u16 {
    hash(value.text().unwrap_or_default())
}

/// Removes the rows that are not in `others`. Both are sorted, newest first.
fn retain_common(rows: &mut Vec<i64>, others: impl Iterator<Item = i64>) {
    let mut others = others.peekable();
    rows.retain(|row| {
        while others.next_if(|other| other > row).is_some() {}
        others.peek() == Some(row)
    });
}
