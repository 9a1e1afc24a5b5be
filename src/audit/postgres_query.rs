//! Finds audit events in PostgreSQL, newest first, by indices on the columns that are often filtered.
//!
//! A statement uses one index, and examines a bounded number of its rows: a filter that matches few of them would otherwise
//! read the whole log in one statement, which the server ends after its time limit.

use super::filter::{Cursor, Filter};
use crate::database::{Database, DatabaseError, Query, Row};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::clock::format_time;
use crate::model::repo::Repo;
use std::time::Duration;
use tokio::time::Instant;

/// The bounds of a search.
#[derive(Debug, Clone, Copy)]
pub struct SearchLimits {
    /// Maximum number of events to find. At least 1.
    pub found: i64,
    /// Maximum number of rows that one statement examines.
    pub examined: i64,
    /// Time after which no further statement begins.
    pub time: Duration,
}

/// The rows that a search found.
pub struct FoundRows {
    /// Row number, time, hash and text of the matching events, newest first.
    pub rows: Vec<Row>,
    /// The last examined position, if the search ended because of its time limit.
    pub stopped_at: Option<Cursor>,
}

/// Returns the first matching events after the cursor.
///
/// # Errors
/// When the database cannot be read.
pub async fn find_events(
    database: &Database,
    filter: &Filter,
    after: Option<&Cursor>,
    limits: SearchLimits,
) -> Result<FoundRows, DatabaseError> {
    let started = Instant::now();
    let (mut found, mut after) = (Vec::new(), after.cloned());
    loop {
        let missing = limits.found - i64::try_from(found.len()).unwrap_or(i64::MAX);
        let rows = database.read(&build_query(filter, after.as_ref(), missing, limits.examined)).await?;
        let mut last_examined = None;
        for row in rows {
            if row.number(5)? == limits.examined {
                last_examined = Some(Cursor { row: row.number(0)?, time: row.text(1)? });
            }
            if row.number(4)? == 1 {
                found.push(row);
            }
        }
        let is_full = i64::try_from(found.len()).unwrap_or(i64::MAX) >= limits.found;
        match last_examined.filter(|_| !is_full) {
            None => return Ok(FoundRows { rows: found, stopped_at: None }),
            Some(last) if started.elapsed() >= limits.time => {
                return Ok(FoundRows { rows: found, stopped_at: Some(last) });
            }
            Some(last) => after = Some(last),
        }
    }
}

/// The query for at most `limit` events among the first `examined` rows of one index after the cursor, newest first. It also
/// returns the last of these rows, from which the search continues.
///
/// `LIMIT` and `row_number` keep the planner from moving the conditions of other columns into the subquery: without statistics
/// it might choose an index that matches nearly all rows.
fn build_query<'a>(filter: &'a Filter, after: Option<&Cursor>, limit: i64, examined: i64) -> Query<'a> {
    const SELECT: &str = "SELECT rowid, time, hash, event, is_match, number FROM (SELECT rowid, time, hash, event, \
         row_number() OVER (ORDER BY time DESC, rowid DESC) AS number, CAST(CASE WHEN 1 = 1";
    let kind = filter.kind.map(EventType::as_str);
    let outcome = filter.outcome.map(Outcome::as_str);
    let repo = filter.repo.as_ref().map(Repo::as_str);
    let subject = filter.subject.as_deref();
    let ticket_id = filter.ticket_id.as_deref();
    let conditions = [
        (" AND ticket_id = ", ticket_id),
        (" AND repo = ", repo),
        (" AND subject = ", subject),
        (" AND type = ", kind),
        (" AND outcome = ", outcome),
        (" AND branch = ", filter.branch.as_ref().map(Branch::as_str)),
    ];
    // The most selective column first. `branch` has no index, and that of outcomes is partial.
    let indices = [
        (" AND ticket_id = ", ticket_id),
        (" AND type = ", kind.filter(|_| !filter.kind.is_some_and(is_frequent))),
        (" AND outcome <> 'ok' AND outcome = ", outcome.filter(|_| filter.outcome != Some(Outcome::Ok))),
        (" AND repo = ", repo),
        (" AND subject = ", subject),
        (" AND type = ", kind),
    ];
    let mut query = Query::new(SELECT);
    for (condition, value) in conditions {
        if let Some(value) = value {
            query = query.sql(condition).value(value);
        }
    }
    query = query.sql(" THEN 1 ELSE 0 END AS BIGINT) AS is_match FROM audit_events WHERE 1 = 1");
    if let Some((condition, value)) = indices.into_iter().find_map(|(condition, value)| Some((condition, value?))) {
        query = query.sql(condition).value(value);
    }
    if let Some(since) = filter.since {
        query = query.sql(" AND time >= ").value(format_time(since));
    }
    if let Some(until) = filter.until {
        query = query.sql(" AND time < ").value(format_time(until));
    }
    if let Some(after) = after {
        let time = after.time.clone();
        query = query.sql(" AND (time, rowid) < (").value(time).sql(", ").value(after.row).sql(")");
    }
    let query = query.sql(" ORDER BY time DESC, rowid DESC LIMIT ").value(examined);
    let query = query.sql(") AS examined WHERE is_match = 1 OR number = ").value(examined);
    query.sql(" ORDER BY time DESC, rowid DESC LIMIT ").value(limit)
}

/// Whether most events of a log can be of this type.
const fn is_frequent(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::TicketIssued
            | EventType::TicketRedeemed
            | EventType::TicketExpired
            | EventType::SecretsRead
            | EventType::LeaseAcquired
            | EventType::LeaseRenewed
            | EventType::LeaseRevoked
    )
}
