//! The table `audit_blocks`.

use super::block::{Block, Column, WIDTH};
use crate::database::{Database, Failed, Param, Query, Row, Work};

/// The columns of the table.
const FIELDS: usize = 6;
const TABLE: &str = "audit_blocks (kind, last_row, first_row, since, until, hashes)";

/// A stored block, of one column.
#[derive(Debug)]
pub struct Listed {
    /// The number of the first row.
    pub first: i64,
    /// The number of the last row.
    pub last: i64,
    /// The earliest time.
    pub since: String,
    /// The latest time.
    pub until: String,
    /// The number of rows of which there are hashes.
    rows: i64,
    hashes: Vec<u8>,
}

impl Listed {
    /// Whether there is a hash for each row.
    pub fn is_whole(&self) -> bool {
        self.last.checked_sub(self.first).and_then(|rows| rows.checked_add(1)) == Some(self.rows) && self.rows > 0
    }

    /// The rows, newest first, whose value has this hash.
    pub fn rows_with(&self, hash: u16) -> impl Iterator<Item = i64> {
        let (first, wanted) = (self.first, hash.to_le_bytes());
        let found = move |(index, hash): (usize, &[u8; WIDTH])| {
            let index = i64::try_from(index).ok().filter(|_| *hash == wanted);
            index.map(|index| first.saturating_add(index))
        };
        self.hashes.as_chunks::<WIDTH>().0.iter().enumerate().rev().filter_map(found)
    }
}

/// Stores a block.
pub async fn store(database: &Database, block: &Block) -> Result<(), Failed> {
    let last = block.next() - 1;
    let mut params: Vec<Param> = Vec::with_capacity(FIELDS * block.hashes.len());
    for (kind, hashes) in (0..).zip(&block.hashes) {
        params.extend::<[Param; FIELDS]>([
            Param::Number(kind),
            last.into(),
            block.first.into(),
            (&block.since).into(),
            (&block.until).into(),
            hashes.as_slice().into(),
        ]);
    }
    database.insert(TABLE, FIELDS, &params).await
}

/// The blocks whose rows are all below this one, newest first. Without a column only their rows and times.
pub async fn below(database: &Database, column: Option<Column>, row: i64, limit: i64) -> Result<Vec<Listed>, Failed> {
    let hashes = if column.is_some() { "hashes" } else { "x''" };
    let query = Query::new("SELECT first_row, last_row, since, until, octet_length(hashes) / 2, ").then(hashes);
    let query = query.then(" FROM audit_blocks WHERE kind = ").value(column.unwrap_or(Column::Type) as i64);
    let query = query.then(" AND last_row < ").value(row);
    let listed = |row: Row| {
        let (since, until, hashes) = (row.text(2)?, row.text(3)?, row.bytes_if_any(5)?.unwrap_or_default());
        Ok(Listed { first: row.number(0)?, last: row.number(1)?, since, until, rows: row.number(4)?, hashes })
    };
    database.read(&query.then(" ORDER BY last_row DESC LIMIT ").value(limit)).await?.into_iter().map(listed).collect()
}

/// The first and last rows of the blocks that end at or above this row, oldest first.
pub async fn above(database: &Database, row: i64, limit: i64) -> Result<Vec<(i64, i64)>, Failed> {
    let query = Query::new("SELECT first_row, last_row FROM audit_blocks WHERE kind = 0 AND last_row >= ").value(row);
    let rows = database.read(&query.then(" ORDER BY last_row LIMIT ").value(limit)).await?;
    rows.iter().map(|row| Ok((row.number(0)?, row.number(1)?))).collect()
}

/// Removes the blocks of events that are deleted up to this row. A no-op for PostgreSQL, which has ordered indices.
///
/// # Errors
/// The database cannot be written.
pub async fn forget(work: &mut Work, row: i64) -> Result<(), Failed> {
    const FORGET: &str = "DELETE FROM audit_blocks WHERE kind IN (0, 1, 2, 3, 4, 5) AND last_row <= $1";
    if work.is_remote() { Ok(()) } else { work.run(FORGET, &[row.into()]).await.map(|_| ()) }
}
