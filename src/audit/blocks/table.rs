//! The table `audit_blocks`, with one row for each column of a block.

use super::block::{Block, Column, HASH_BYTES};
use crate::database::{Database, DatabaseError, Param, Query, Row, UnitOfWork};

/// The number of columns of the table.
const FIELDS: usize = 6;
const INSERT_TARGET: &str = "audit_blocks (kind, last_row, first_row, since, until, hashes)";

/// The hashes of one column of a stored block.
#[derive(Debug)]
pub struct StoredBlock {
    /// The number of the first row.
    pub first_row: i64,
    /// The number of the last row.
    pub last_row: i64,
    /// The earliest time of the rows.
    pub since: String,
    /// The latest time of the rows.
    pub until: String,
    /// The number of stored hashes, even if `hashes` was not read.
    hash_count: i64,
    hashes: Vec<u8>,
}

impl StoredBlock {
    /// Whether there is a hash for each row.
    pub fn is_complete(&self) -> bool {
        let rows = self.last_row.checked_sub(self.first_row).and_then(|rows| rows.checked_add(1));
        rows == Some(self.hash_count) && self.hash_count > 0
    }

    /// The numbers of the rows whose value has this hash, newest first.
    pub fn rows_with_hash(&self, hash: u16) -> impl Iterator<Item = i64> {
        let (first_row, wanted) = (self.first_row, hash.to_le_bytes());
        let matching_row = move |(index, hash): (usize, &[u8; HASH_BYTES])| {
            let index = i64::try_from(index).ok().filter(|_| *hash == wanted);
            index.map(|index| first_row.saturating_add(index))
        };
        self.hashes.as_chunks::<HASH_BYTES>().0.iter().enumerate().rev().filter_map(matching_row)
    }
}

/// Inserts a block.
pub async fn insert_block(database: &Database, block: &Block) -> Result<(), DatabaseError> {
    let last_row = block.next_row() - 1;
    let mut params: Vec<Param> = Vec::with_capacity(FIELDS * block.hashes.len());
    for (kind, hashes) in (0..).zip(&block.hashes) {
        params.extend::<[Param; FIELDS]>([
            Param::Number(kind),
            last_row.into(),
            block.first_row.into(),
            (&block.since).into(),
            (&block.until).into(),
            hashes.as_slice().into(),
        ]);
    }
    database.insert(INSERT_TARGET, FIELDS, &params).await
}

/// Returns blocks whose rows are all below `row`, newest first. Without a column, the hashes are not read.
pub async fn blocks_below(
    database: &Database,
    column: Option<Column>,
    row: i64,
    limit: i64,
) -> Result<Vec<StoredBlock>, DatabaseError> {
    let hashes = if column.is_some() { "hashes" } else { "x''" };
    let query = Query::new("SELECT first_row, last_row, since, until, octet_length(hashes) / 2, ").sql(hashes);
    let query = query.sql(" FROM audit_blocks WHERE kind = ").value(column.unwrap_or(Column::Type) as i64);
    let query = query.sql(" AND last_row < ").value(row);
    let parse = |row: Row| {
        Ok(StoredBlock {
            first_row: row.number(0)?,
            last_row: row.number(1)?,
            since: row.text(2)?,
            until: row.text(3)?,
            hash_count: row.number(4)?,
            hashes: row.optional_bytes(5)?.unwrap_or_default(),
        })
    };
    database.read(&query.sql(" ORDER BY last_row DESC LIMIT ").value(limit)).await?.into_iter().map(parse).collect()
}

/// Returns the numbers of the first and last row of blocks that end at or above `row`, oldest first.
pub async fn block_ranges_from(database: &Database, row: i64, limit: i64) -> Result<Vec<(i64, i64)>, DatabaseError> {
    let query = Query::new("SELECT first_row, last_row FROM audit_blocks WHERE kind = 0 AND last_row >= ").value(row);
    let rows = database.read(&query.sql(" ORDER BY last_row LIMIT ").value(limit)).await?;
    rows.iter().map(|row| Ok((row.number(0)?, row.number(1)?))).collect()
}

/// Deletes the blocks whose rows are all up to `row`. A no-op for PostgreSQL, which has no blocks.
///
/// # Errors
/// The database cannot be written.
pub async fn delete_blocks_up_to(work: &mut UnitOfWork, row: i64) -> Result<(), DatabaseError> {
    const DELETE: &str = "DELETE FROM audit_blocks WHERE kind IN (0, 1, 2, 3, 4, 5) AND last_row <= $1";
    if work.is_remote() { Ok(()) } else { work.run(DELETE, &[row.into()]).await.map(|_| ()) }
}
