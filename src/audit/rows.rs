//! The rows of the table `audit_events`: the columns, and their conversion from and to events.

use super::blocks::FilterValues;
use super::chain::Link;
use super::port::Event;
use super::stored_event::{EventColumns, StoredEvent};
use crate::database::{DatabaseError, Param, Row};
use std::sync::Arc;

/// The columns of the table, in the order of [`values`].
macro_rules! columns {
    () => {
        "chain, seq, prev_hash, hash, time, type, outcome, subject, repo, branch, ticket_id, event"
    };
}

/// The number of columns.
pub const COLUMNS: usize = 12;
/// The table and columns into which [`values`] are inserted.
pub const INSERT_TARGET: &str = concat!("audit_events (", columns!(), ")");
/// Selects the row number and all columns.
pub const SELECT: &str = concat!("SELECT rowid, ", columns!(), " FROM audit_events");
/// Selects the oldest rows, but never the newest row of the table.
pub const SELECT_OLDEST: &str = concat!(
    "SELECT rowid, ",
    columns!(),
    " FROM audit_events WHERE rowid < (SELECT max(rowid) FROM audit_events) ORDER BY rowid LIMIT $1"
);

/// Selects number and time of the next row after a row whose time is not after a given one.
pub const SELECT_NEXT_UNTIL: &str =
    "SELECT rowid, time FROM audit_events WHERE rowid > $1 AND time <= $2 ORDER BY rowid LIMIT 1";

/// The values of the row for an event and its link.
pub fn values<'a>(chain: &Arc<str>, link: &'a Link, event: &'a Event) -> [Param<'a>; COLUMNS] {
    [
        chain.into(),
        link.seq.into(),
        (&link.prev_hash).into(),
        (&link.hash).into(),
        (&link.time).into(),
        event.kind.as_str().into(),
        event.outcome.as_str().into(),
        event.caller.as_ref().map(|caller| caller.subject.as_str()).into(),
        event.recorded_repo().into(),
        event.recorded_branch().into(),
        link.ticket_id.as_deref().into(),
        (&link.text).into(),
    ]
}

/// Returns the time and the values that queries can filter by, from the [`values`] of a row.
pub fn filter_values<'a>(values: &'a [Param<'a>]) -> (&'a str, FilterValues<'a>) {
    let text = |column: usize| values.get(column).and_then(Param::as_text);
    (text(4).unwrap_or_default(), [5, 6, 7, 8, 9, 10].map(text))
}

/// The type of the event, from the [`values`] of its row.
pub fn kind<'a>(values: &'a [Param<'a>]) -> &'a str {
    values.get(5).and_then(Param::as_text).unwrap_or_default()
}

/// The values of a row that is inserted to test whether inserts succeed, and then rolled back or deleted.
pub fn probe_values(chain: &str, seq: i64) -> [Param<'_>; COLUMNS] {
    let empty = || Param::from("");
    let none = || Param::NoText;
    [chain.into(), seq.into(), empty(), empty(), empty(), empty(), empty(), none(), none(), none(), none(), empty()]
}

/// The row number of a selected row.
pub fn row_number(row: &Row) -> Result<i64, DatabaseError> {
    row.number(0)
}

/// The event of a selected row.
pub fn stored_event(row: &Row) -> Result<StoredEvent<'_>, DatabaseError> {
    Ok(StoredEvent { text: row.str(12)?, hash: row.str(4)?, columns: Some(columns(row)?) })
}

/// The columns of a selected row that repeat parts of its event.
pub fn columns(row: &Row) -> Result<EventColumns<'_>, DatabaseError> {
    Ok(EventColumns {
        chain: row.str(1)?,
        seq: row.number(2)?,
        prev_hash: row.str(3)?,
        time: row.str(5)?,
        kind: row.str(6)?,
        outcome: row.str(7)?,
        subject: row.optional_str(8)?,
        repo: row.optional_str(9)?,
        branch: row.optional_str(10)?,
        ticket_id: row.optional_str(11)?,
    })
}
