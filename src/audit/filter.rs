//! Filters of audit queries, and cursors of their pages.

use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::repo::Repo;
use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;

/// A conjunction of conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The earliest time.
    pub since: Option<Timestamp>,
    /// The time before which events are.
    pub until: Option<Timestamp>,
    /// The kind of event.
    pub kind: Option<EventType>,
    /// The outcome.
    pub outcome: Option<Outcome>,
    /// The caller's subject.
    pub subject: Option<String>,
    /// The repo.
    pub repo: Option<Repo>,
    /// The branch.
    pub branch: Option<Branch>,
    /// The ticket's public id.
    pub ticket_id: Option<String>,
}

/// The place of an event in query results, newest first. PostgreSQL, where several replicas write, orders by time and row;
/// SQLite by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The time as text.
    pub time: String,
    /// The row number.
    pub row: i64,
}

/// The text is not a cursor.
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

/// A time as events contain it: texts of one length, so that they sort by time.
pub(super) fn written(time: Timestamp) -> String {
    format!("{time:.6}")
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
