//! Which events are asked for, and the statement that finds them.

use crate::database::Query;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;
use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;

/// All of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// What it is about.
    pub kind: Option<EventType>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The caller's subject.
    pub subject: Option<String>,
    /// What is built.
    pub repo: Option<Repo>,
    /// What is built.
    pub branch: Option<Branch>,
    /// The ticket's public id.
    pub ticket_id: Option<String>,
}

/// The place of an event in the order of answers: the newest first, and of one time the one that was written last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Its time, as it is written.
    pub time: String,
    /// Its row.
    pub row: i64,
}

/// The text is not the place of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the place of an event")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time, self.row)
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (time, row) = text.split_once(' ').ok_or(NotACursor)?;
        let parsed: Timestamp = time.parse().map_err(|_| NotACursor)?;
        let cursor = Self { time: written(parsed), row: row.parse().map_err(|_| NotACursor)? };
        if cursor.to_string() == text { Ok(cursor) } else { Err(NotACursor) }
    }
}

/// A time as events have it. As texts, such times are in the order of the times.
fn written(time: Timestamp) -> String {
    format!("{time:.6}")
}

impl Filter {
    /// What finds the events behind a place, the newest first. One part at most is left to an index, the one that finds
    /// the fewest; without statistics a database may choose the one that finds nearly all.
    pub(super) fn query(&self, after: Option<&Cursor>, limit: i64) -> Query<'_> {
        // The index of what is not ok is found by its own words.
        let by_outcome = match self.outcome {
            Some(Outcome::Ok) => " AND outcome = ",
            _ => " AND outcome <> 'ok' AND outcome = ",
        };
        let parts: [(&'static str, &'static str, Option<&str>); 6] = [
            (" AND ticket_id = ", " AND coalesce(ticket_id, '') = ", self.ticket_id.as_deref()),
            (" AND repo = ", " AND coalesce(repo, '') = ", self.repo.as_ref().map(Repo::as_str)),
            (" AND subject = ", " AND coalesce(subject, '') = ", self.subject.as_deref()),
            (" AND type = ", " AND coalesce(type, '') = ", self.kind.map(EventType::as_str)),
            (by_outcome, " AND coalesce(outcome, '') = ", self.outcome.map(Outcome::as_str)),
            (" AND branch = ", " AND branch = ", self.branch.as_ref().map(Branch::as_str)),
        ];
        let mut query = Query::new("SELECT rowid, time, hash, event FROM audit_events WHERE 1 = 1");
        let mut indexed = false;
        for (by_index, by_looking, value) in parts {
            if let Some(value) = value {
                query = query.then(if indexed { by_looking } else { by_index }).value(value);
                indexed = true;
            }
        }
        if let Some(since) = self.since {
            query = query.then(" AND time >= ").value(written(since));
        }
        if let Some(until) = self.until {
            query = query.then(" AND time < ").value(written(until));
        }
        if let Some(after) = after {
            let time = after.time.clone();
            query = query.then(" AND (time, rowid) < (").value(time).then(", ").value(after.row).then(")");
        }
        query.then(" ORDER BY time DESC, rowid DESC LIMIT ").value(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_was_answered_and_nothing_else() {
        let cursor = Cursor { time: "2026-01-01T00:00:00.000001Z".into(), row: 7 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in [
            "",
            "7",
            "2026-01-01T00:00:00.000001Z",
            "2026-01-01T00:00:00Z 7",
            "2026-01-01T00:00:00.000001+00:00 7",
            "2026-01-01T00:00:00.000001Z  7",
            "2026-01-01T00:00:00.000001Z +7",
            "2026-01-01T00:00:00.000001Z 9223372036854775808",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text}");
        }
    }
}
