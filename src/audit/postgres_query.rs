//! The statement that finds audit events in PostgreSQL, by indices on the columns that are often filtered.

use super::filter::{Cursor, Filter};
use crate::database::Query;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::clock::format_time;
use crate::model::repo::Repo;

/// The query for at most `limit` events after the cursor, newest first. Only the condition of the most selective column can
/// use an index. The other columns are wrapped in `coalesce`, which hides their indices from the planner: without statistics
/// it might choose an index that matches nearly all rows.
pub fn build_query<'a>(filter: &'a Filter, after: Option<&Cursor>, limit: i64) -> Query<'a> {
    // The partial index on outcomes is used only with its own condition.
    let by_outcome = match filter.outcome {
        Some(Outcome::Ok) => " AND outcome = ",
        _ => " AND outcome <> 'ok' AND outcome = ",
    };
    // The most selective column first. `branch` has no index.
    let conditions: [(&'static str, &'static str, Option<&str>); 6] = [
        (" AND ticket_id = ", " AND coalesce(ticket_id, '') = ", filter.ticket_id.as_deref()),
        (" AND repo = ", " AND coalesce(repo, '') = ", filter.repo.as_ref().map(Repo::as_str)),
        (" AND subject = ", " AND coalesce(subject, '') = ", filter.subject.as_deref()),
        (" AND type = ", " AND coalesce(type, '') = ", filter.kind.map(EventType::as_str)),
        (by_outcome, " AND coalesce(outcome, '') = ", filter.outcome.map(Outcome::as_str)),
        (" AND branch = ", " AND branch = ", filter.branch.as_ref().map(Branch::as_str)),
    ];
    let mut query = Query::new("SELECT rowid, time, hash, event FROM audit_events WHERE 1 = 1");
    let mut uses_index = false;
    for (with_index, without_index, value) in conditions {
        if let Some(value) = value {
            query = query.sql(if uses_index { without_index } else { with_index }).value(value);
            uses_index = true;
        }
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
    query.sql(" ORDER BY time DESC, rowid DESC LIMIT ").value(limit)
}
