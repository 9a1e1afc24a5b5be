//! The rows of the table `audit_events`: their columns, and how a row is written and read.

use super::blocks::Values;
use super::chain::Link;
use super::entry::{Columns, Stored};
use super::port::Event;
use crate::database::{Failed, Param, Row};

/// The columns, in the order of [`values`] and [`columns`].
macro_rules! columns {
    () => {
        "chain, seq, prev_hash, hash, time, type, outcome, subject, repo, branch, ticket_id, event"
    };
}

/// The number of columns.
pub const COLUMNS: usize = 12;
/// Where [`values`] are inserted.
pub const TABLE: &str = concat!("audit_events (", columns!(), ")");
/// Selects whole rows. The row number is column 0.
pub const SELECT: &str = concat!("SELECT rowid, ", columns!(), " FROM audit_events");
/// The oldest rows, without the newest of all.
pub const OLDEST: &str = concat!(
    "SELECT rowid, ",
    columns!(),
    " FROM audit_events WHERE rowid < (SELECT max(rowid) FROM audit_events) ORDER BY rowid LIMIT $1"
);

/// The values of a row.
pub fn values<'a>(chain: &'a str, link: &'a Link, event: &'a Event) -> [Param<'a>; COLUMNS] {
    [
        chain.into(),
        link.seq.into(),
        (&link.prev_hash).into(),
        (&link.hash).into(),
        (&*link.time).into(),
        event.kind.as_str().into(),
        event.outcome.as_str().into(),
        event.caller.as_ref().map(|caller| caller.subject.as_str()).into(),
        event.repo_written().into(),
        event.branch_written().into(),
        link.ticket_id.as_deref().into(),
        (&link.text).into(),
    ]
}

/// The time and the filtered columns of a row, of its [`values`].
pub fn filtered<'a>(values: &'a [Param<'a>]) -> (&'a str, Values<'a>) {
    let text = |column: usize| values.get(column).and_then(Param::text);
    (text(4).unwrap_or_default(), [5, 6, 7, 8, 9, 10].map(text))
}

/// The values of a row that is inserted to test the database and then rolled back.
pub fn test_values(chain: &str, seq: i64) -> [Param<'_>; COLUMNS] {
    let empty = || Param::from("");
    let none = || Param::NoText;
    [chain.into(), seq.into(), empty(), empty(), empty(), empty(), empty(), none(), none(), none(), none(), empty()]
}

/// The row number of a selected row.
pub fn number(row: &Row) -> Result<i64, Failed> {
    row.number(0)
}

/// The event of a selected row.
pub fn stored(row: &Row) -> Result<Stored<'_>, Failed> {
    Ok(Stored { text: row.str(12)?, hash: row.str(4)?, columns: Some(columns(row)?) })
}

/// The columns of a selected row that repeat parts of its event.
pub fn columns(row: &Row) -> Result<Columns<'_>, Failed> {
    Ok(Columns {
        chain: row.str(1)?,
        seq: row.number(2)?,
        prev_hash: row.str(3)?,
        time: row.str(5)?,
        kind: row.str(6)?,
        outcome: row.str(7)?,
        subject: row.str_if_any(8)?,
        repo: row.str_if_any(9)?,
        branch: row.str_if_any(10)?,
        ticket_id: row.str_if_any(11)?,
    })
}
