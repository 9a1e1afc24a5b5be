//! The statement that finds audit events in PostgreSQL, by indices on the columns that are often filtered.

use super::filter::{Cursor, Filter, format_time};
use crate::database::Query;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;

/// The query for at most `limit` events behind `after`, newest first. `coalesce` keeps all conditions but the most selective
/// from using an index: without statistics the planner may choose an index that matches nearly all rows.
pub fn query<'a>(filter: &'a Filter, after: Option<&Cursor>, limit: i64) -> Query<'a> {
    // The partial index on outcomes is used only with its own condition.
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
    let mut uses_index = false;
    for (with_index, without_index, value) in parts {
        if let Some(value) = value {
            query = query.then(if uses_index { without_index } else { with_index }).value(value);
            uses_index = true;
        }
    }
    if let Some(since) = filter.since {
        query = query.then(" AND time >= ").value(format_time(since));
    }
    if let Some(until) = filter.until {
        query = query.then(" AND time < ").value(format_time(until));
    }
    if let Some(after) = after {
        let time = after.time.clone();
        query = query.then(" AND (time, rowid) < (").value(time).then(", ").value(after.row).then(")");
    }
    query.then(" ORDER BY time DESC, rowid DESC LIMIT ").value(limit)
}
