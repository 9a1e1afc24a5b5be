//! Which events are asked for, and where an answer goes on.

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

/// The place of an event in the order of answers, the newest first. Where several replicas write (PostgreSQL) that is the
/// order of the times, and of one time the one that was written last; in SQLite it is the order in which they were written.
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
