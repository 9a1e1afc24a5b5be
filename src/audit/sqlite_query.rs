//! Finds events in SQLite, newest first, with the blocks of `audit/blocks`.
//!
//! Blocks are read from the newest to the oldest. In each, the rows whose hashes match are candidates; the conditions on the columns
//! decide. Rows between blocks, and those above the newest one, are compared one by one. Every statement is short.

use super::blocks::{Column, Listed, below, hash};
use super::filter::{Cursor, Filter, written};
use crate::database::{Database, Failed, Param, Query, Row};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;

/// Blocks of one statement.
const BLOCKS: i64 = 64;
/// Maximum number of rows that one statement compares.
const COMPARED: i64 = 32 * 1024;
/// Maximum number of candidates of one statement.
const CANDIDATES: usize = 1000;

const SELECT: &str = "SELECT rowid, time, hash, event FROM audit_events WHERE rowid ";

/// Finds the events after a place.
///
/// # Errors
/// When the database cannot be read.
pub async fn events(
    database: &Database,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Row>, Failed> {
    let mut search = Search { database, conditions: Conditions::of(filter), limit, found: Vec::new() };
    let below_row = after.map_or(i64::MAX, |after| after.row);
    if search.conditions.is_empty() {
        let query = Query::new(SELECT).then("< ").value(below_row);
        return database.read(&query.then(" ORDER BY rowid DESC LIMIT ").value(limit)).await;
    }
    search.run(below_row).await?;
    Ok(search.found)
}

/// A filter in the form of the table.
struct Conditions<'a> {
    /// Columns with their values, the most selective first.
    columns: Vec<(Column, &'static str, Param<'a>)>,
    since: Option<String>,
    until: Option<String>,
}

impl<'a> Conditions<'a> {
    fn of(filter: &'a Filter) -> Self {
        let columns = [
            (Column::TicketId, " AND ticket_id = ", filter.ticket_id.as_deref()),
            (Column::Repo, " AND repo = ", filter.repo.as_ref().map(Repo::as_str)),
            (Column::Subject, " AND subject = ", filter.subject.as_deref()),
            (Column::Branch, " AND branch = ", filter.branch.as_ref().map(Branch::as_str)),
            (Column::Type, " AND type = ", filter.kind.map(EventType::as_str)),
            (Column::Outcome, " AND outcome = ", filter.outcome.map(Outcome::as_str)),
        ];
        let columns = columns.into_iter().filter_map(|(column, sql, value)| Some((column, sql, Param::from(value?))));
        Self { columns: columns.collect(), since: filter.since.map(written), until: filter.until.map(written) }
    }

    const fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.since.is_none() && self.until.is_none()
    }

    /// Appends the conditions on the columns.
    fn after<'b>(&self, mut query: Query<'b>) -> Query<'b>
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

    /// Whether some times of the block are in the range.
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
    /// Finds events below this row.
    async fn run(&mut self, mut row: i64) -> Result<(), Failed> {
        let (mut candidates, mut listed) = (Vec::new(), row);
        loop {
            let blocks = self.blocks(listed).await?;
            let is_last = i64::try_from(blocks.len()).is_ok_and(|blocks| blocks < BLOCKS);
            for (block, matching) in blocks {
                listed = block.last;
                // The rows of a block that is left out are compared, like those between blocks. Of overlapping blocks it is the lower one.
                if block.last >= row || !block.is_whole() {
                    continue;
                }
                let from = if matching.is_none() { block.first } else { block.last.saturating_add(1) };
                if from < row {
                    self.fetch(&mut candidates, 1).await?;
                    self.compare(from, row).await?;
                }
                row = block.first;
                candidates.extend(matching.unwrap_or_default());
                let wanted = usize::try_from(self.left()).unwrap_or(CANDIDATES).clamp(1, CANDIDATES);
                self.fetch(&mut candidates, wanted).await?;
                if self.left() <= 0 {
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        self.fetch(&mut candidates, 1).await?;
        self.compare(i64::MIN, row).await
    }

    fn left(&self) -> i64 {
        self.limit - i64::try_from(self.found.len()).unwrap_or(i64::MAX)
    }

    /// Blocks below this row, newest first, with their candidates, newest first. None: any row may match.
    async fn blocks(&self, row: i64) -> Result<Vec<(Listed, Option<Vec<i64>>)>, Failed> {
        let mut columns = self.conditions.columns.iter();
        let first = columns.next();
        let blocks = below(self.database, first.map(|(column, ..)| *column), row, BLOCKS).await?;
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
            let others = below(self.database, Some(*column), row, BLOCKS).await?;
            for (block, rows) in &mut blocks {
                // A block that was stored or deleted meanwhile excludes nothing, and neither does a damaged one.
                let is_same =
                    |other: &&Listed| (other.first, other.last) == (block.first, block.last) && other.is_whole();
                if let (Some(rows), Some(other)) = (rows, others.iter().find(is_same)) {
                    keep_common(rows, other.rows_with(hash_of(value)));
                }
            }
        }
        Ok(blocks)
    }

    /// Fetches candidates in order while at least `least` of them remain and the page is not full.
    async fn fetch(&mut self, candidates: &mut Vec<i64>, least: usize) -> Result<(), Failed> {
        while candidates.len() >= least && self.left() > 0 {
            let rest = candidates.split_off(candidates.len().min(CANDIDATES));
            let query = Query::new(SELECT)
                .then("IN (SELECT value FROM json_each(")
                .value(Param::Numbers(candidates.as_slice()));
            let query = self.conditions.after(query.then("))"));
            let rows = self.database.read(&query.then(" ORDER BY rowid DESC LIMIT ").value(self.left())).await?;
            self.found.extend(rows);
            *candidates = rest;
        }
        Ok(())
    }

    /// Compares the rows from `from` to the one before `row`, in parts, newest first, until enough is found.
    async fn compare(&mut self, from: i64, mut row: i64) -> Result<(), Failed> {
        const NEWEST: &str = "SELECT rowid FROM audit_events WHERE rowid < ";
        while self.left() > 0 {
            let query = Query::new(NEWEST).value(row).then(" AND rowid >= ").value(from);
            let newest = self.database.read(&query.then(" ORDER BY rowid DESC LIMIT 1")).await?;
            let Some(newest) = newest.first().map(|row| row.number(0)).transpose()? else { break };
            row = from.max(newest.saturating_sub(COMPARED - 1));
            let query = Query::new(SELECT).then(">= ").value(row).then(" AND rowid <= ").value(newest);
            let query = self.conditions.after(query);
            let rows = self.database.read(&query.then(" ORDER BY rowid DESC LIMIT ").value(self.left())).await?;
            self.found.extend(rows);
        }
        Ok(())
    }
}

fn hash_of(value: &Param<'_>) -> u16 {
    hash(value.text().unwrap_or_default())
}

/// Keeps the rows that are in both, each newest first.
fn keep_common(rows: &mut Vec<i64>, others: impl Iterator<Item = i64>) {
    let mut others = others.peekable();
    rows.retain(|row| {
        while others.next_if(|other| other > row).is_some() {}
        others.peek() == Some(row)
    });
}
