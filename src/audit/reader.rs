//! Reads and verifies the log, page by page, newest first, concurrently with the writer.

use super::anchors;
use super::chain::Head;
use super::checker::{Beginning, Checker, Verified};
use super::filter::{Cursor, Filter};
use super::keys::ChainHasher;
use super::{postgres_query, rows, sqlite_query};
use crate::database::{Database, Failed, Query, Row};
use crate::wire::audit_event::append_hash;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Rows of one statement.
const PAGE: i64 = 2000;
/// Reads the log.
#[derive(Clone)]
pub struct Reader {
    pub(super) database: Database,
    pub(super) hasher: Arc<ChainHasher>,
    heads: watch::Receiver<Head>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

/// A recorded event.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The hashed text, with the hash as its last member.
    pub event: String,
    /// The place in query results.
    pub place: Cursor,
}

impl Reader {
    pub(super) fn new(database: Database, hasher: Arc<ChainHasher>, heads: watch::Receiver<Head>) -> Self {
        Self { database, hasher, heads }
    }

    /// Matching events, newest first, after a place if one is given.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Vec<Recorded>, Failed> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = if self.database.is_remote() {
            self.database.read(&postgres_query::query(filter, after, limit)).await?
        } else {
            sqlite_query::events(&self.database, filter, after, limit).await?
        };
        let recorded = |row: Row| {
            let place = Cursor { row: row.number(0)?, time: row.text(1)? };
            Ok(Recorded { event: append_hash(&row.text(3)?, &row.text(2)?), place })
        };
        rows.into_iter().map(recorded).collect()
    }

    /// Verifies every chain while the log is written. The head of this replica is known, so a missing end of its chain is detected.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn verify(&self) -> Result<Verified, Failed> {
        // The head is read first, so that its row exists when the rows are read.
        let head = self.heads.borrow().clone();
        let mut known = anchors::known(&self.database, &self.hasher).await?;
        if head.seq > 0 {
            known.mark(&head.chain, head.seq, &head.hash, None);
        }
        let mut checker = Checker::new(Some(&*self.hasher), known);
        let mut page = self.rows_below(i64::MAX).await?;
        while let Some(last) = page.last() {
            // The next page is read while this one is checked.
            let (checked, next) =
                tokio::join!(check_rows(checker, page.as_slice()), self.rows_below(rows::number(last)?));
            checker = checked?;
            page = next?;
        }
        let pruned = anchors::known(&self.database, &self.hasher).await?.into_pruned();
        Ok(checker.finish(Beginning::Known, &pruned))
    }

    async fn rows_below(&self, row: i64) -> Result<Vec<Row>, Failed> {
        let query = Query::new(rows::SELECT).then(" WHERE rowid < ").value(row);
        self.database.read(&query.then(" ORDER BY rowid DESC LIMIT ").value(PAGE)).await
    }
}

/// Checks the rows, and yields to other tasks at intervals.
async fn check_rows<'a>(mut checker: Checker<'a>, rows: &[Row]) -> Result<Checker<'a>, Failed> {
    for some in rows.chunks(100) {
        for row in some {
            checker.see(&rows::stored(row)?);
        }
        tokio::task::yield_now().await;
    }
    Ok(checker)
}
