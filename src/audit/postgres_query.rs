//! The statement that finds events in PostgreSQL, through ordered indices on the columns that are filtered often.

use super::filter::{Cursor, Filter, written};
use crate::database::Query;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;

/// The query for events after a place, newest first. Only the most selective condition may use an index: without statistics
/// the planner may choose one that matches nearly all rows.
pub fn query<'a>(filter: &'a Filter, after: Option<&Cursor>, limit: i64) -> Query<'a> {
    // The partial index of other outcomes needs its own condition.
    let by_outcome = match filter.outcome {
        Some(Outcome::Ok) => " AND outcome = ",
        _ => " AND outcome <> 'ok' AND outcome = ",
    };
    let parts: [(&'static str, &'static str, Option<&str>); 6] = [
        (" AND ticket_id = ", " AND coalesce(ticket_id, '') = ", filter.ticket_id.as_deref()),
        (" AND repo = ", " AND coalesce(repo, '') = ", filter.repo.as_ref().map(Repo::as_str)),
        (" AND subject = ", " AND coalesce(subject, '') = ", filter.subject.as_deref()),
        (" AND type = ", " AND coalesce(type, '') = ", filter.kind.map(EventType::as_str)),
        (by_outcome, " AND coalesce(outcome, '') = ", filter.outcome.map(Outcome::as_str)),
        (" AND branch = ", " AND branch = ", filter.branch.as_ref().map(Branch::as_str)),
    ];
    let mut query = Query::new("SELECT rowid, time, hash, event FROM audit_events WHERE 1 = 1");
    let mut indexed = false;
    for (by_index, by_looking, value) in parts {
        if let Some(value) = value {
            query = query.then(if indexed { by_looking } else { by_index }).value(value);
            indexed = true;
        }
    }
    if let Some(since) = filter.since {
        query = query.then(" AND time >= ").value(written(since));
    }
    if let Some(until) = filter.until {
        query = query.then(" AND time < ").value(written(until));
    }
    if let Some(after) = after {
        let time = after.time.clone();
        query = query.then(" AND (time, rowid) < (").value(time).then(", ").value(after.row).then(")");
    }
    query.then(" ORDER BY time DESC, rowid DESC LIMIT ").value(limit)
}
