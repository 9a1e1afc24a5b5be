//! Reads and verifies the log page by page, newest first, while the writer adds events.

use super::anchors;
use super::chain::Head;
use super::chain_checker::{ChainChecker, ChainStart, VerificationResult};
use super::chain_hasher::ChainHasher;
use super::filter::{Cursor, Filter};
use super::postgres_query::{FoundRows, SearchLimits};
use super::recent_rows::RecentRows;
use super::{postgres_query, rows, sqlite_query};
use crate::database::{Database, DatabaseError, Query, Row};
use crate::wire::audit_event::append_hash;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Maximum number of rows that one statement of a verification returns.
const PAGE_ROWS: i64 = 2000;
/// Maximum number of rows that one statement of a search in PostgreSQL examines. From a cold disk it takes less than the time
/// limit of a statement.
const MAX_EXAMINED: i64 = 20_000;
/// Time after which a search in PostgreSQL begins no further statement. With the time limit of the last statement it is
/// shorter than the default time limit of a request.
const MAX_SEARCH_TIME: Duration = Duration::from_secs(2);

/// Reads and verifies the log.
#[derive(Clone)]
pub struct Reader {
    pub(super) database: Database,
    pub(super) hasher: Arc<ChainHasher>,
    heads: watch::Receiver<Head>,
    pub(super) recent: Arc<RecentRows>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

/// An event in query results.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    /// The event as JSON: the hashed text, with the hash as its last member.
    pub json: String,
    /// Its position in query results.
    pub cursor: Cursor,
}

/// The events that a search found.
#[derive(Debug, Clone)]
pub struct FoundEvents {
    /// The events, newest first.
    pub events: Vec<RecordedEvent>,
    /// The position from which to continue, if the search ended because of its time limit.
    pub stopped_at: Option<Cursor>,
}

impl Reader {
    pub(super) fn new(
        database: Database,
        hasher: Arc<ChainHasher>,
        heads: watch::Receiver<Head>,
        recent: Arc<RecentRows>,
    ) -> Self {
        Self { database, hasher, heads, recent }
    }

    /// Returns at most `limit` matching events, newest first, starting after the cursor. Fewer events are the last ones, unless
    /// the search ended because of its time limit.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<FoundEvents, DatabaseError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let FoundRows { rows, stopped_at } = if self.database.is_remote() {
            let limits = SearchLimits { found: limit, examined: MAX_EXAMINED, time: MAX_SEARCH_TIME };
            postgres_query::find_events(&self.database, filter, after, limits).await?
        } else {
            let rows = sqlite_query::find_events(&self.database, filter, after, limit).await?;
            FoundRows { rows, stopped_at: None }
        };
        let parse = |row: Row| {
            let cursor = Cursor { row: row.number(0)?, time: row.text(1)? };
            Ok(RecordedEvent { json: append_hash(&row.text(3)?, &row.text(2)?), cursor })
        };
        Ok(FoundEvents { events: rows.into_iter().map(parse).collect::<Result<_, DatabaseError>>()?, stopped_at })
    }

    /// Verifies all chains. The head of this replica's own chain is in memory, so a missing end of this chain is detected.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn verify(&self) -> Result<VerificationResult, DatabaseError> {
        // The head is read before the rows, so that they contain its event.
        let head = self.heads.borrow().clone();
        let mut known = anchors::load_known_events(&self.database, &self.hasher).await?;
        if head.seq > 0 {
            known.expect_event(&head.chain, head.seq, &head.hash, None);
        }
        let mut checker = ChainChecker::new(Some(&*self.hasher), known);
        let mut page = self.query_rows_below(i64::MAX).await?;
        while let Some(last) = page.last() {
            // The next page is read while this one is checked.
            let (checked, next) =
                tokio::join!(check_rows(checker, page.as_slice()), self.query_rows_below(rows::row_number(last)?));
            checker = checked?;
            page = next?;
        }
        let pruned = anchors::load_known_events(&self.database, &self.hasher).await?.into_last_pruned();
        Ok(checker.finish(ChainStart::FirstOrPruned, &pruned))
    }

    async fn query_rows_below(&self, row: i64) -> Result<Vec<Row>, DatabaseError> {
        let query = Query::new(rows::SELECT).sql(" WHERE rowid < ").value(row);
        self.database.read(&query.sql(" ORDER BY rowid DESC LIMIT ").value(PAGE_ROWS)).await
    }
}

/// Checks the rows in order, and yields to other tasks after every hundred.
async fn check_rows<'a>(mut checker: ChainChecker<'a>, rows: &[Row]) -> Result<ChainChecker<'a>, DatabaseError> {
    for chunk in rows.chunks(100) {
        for row in chunk {
            checker.check(&rows::stored_event(row)?);
        }
        tokio::task::yield_now().await;
    }
    Ok(checker)
}
