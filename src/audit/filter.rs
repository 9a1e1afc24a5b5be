//! The filter of an audit query, and the cursor of its pages.

use crate::metrics::labels::{EventType, Outcome};
use crate::model::branch::Branch;
use crate::model::clock::format_time;
use crate::model::repo::Repo;
use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;

/// The conditions of an audit query. An event matches if it meets all that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The earliest time, inclusive.
    pub since: Option<Timestamp>,
    /// The latest time, exclusive.
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

/// The position of an event in query results, newest first. PostgreSQL, to which several replicas write, sorts by time and row
/// number, SQLite by row number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The time, as in the column `time`.
    pub time: String,
    /// The row number.
    pub row: i64,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the position of an event")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time, self.row)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (time, row) = text.split_once(' ').ok_or(CursorError)?;
        let parsed: Timestamp = time.parse().map_err(|_| CursorError)?;
        let cursor = Self { time: format_time(parsed), row: row.parse().map_err(|_| CursorError)? };
        if cursor.to_string() == text { Ok(cursor) } else { Err(CursorError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_parses_only_in_its_canonical_form() {
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
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
