//! The policies changed since a revision, in one query.

use super::row::Record;
use crate::database::{Database, Failed, Row};

/// The changed policies, and the revision up to which the list is complete.
#[derive(Debug)]
pub struct Changes {
    /// The last revision.
    pub head: i64,
    /// Whether the list contains all policies, so that all others were deleted.
    pub all: bool,
    /// By name; `None` for a deleted policy.
    pub records: Vec<(String, Option<Record>)>,
}

/// All policies.
pub(super) async fn all(database: &Database) -> Result<Changes, Failed> {
    const ALL: &str = "SELECT head.revision, p.name, p.name, p.revision, p.created_at, p.updated_at, p.updated_by, \
             p.spec FROM policy_head head LEFT JOIN policies p ON TRUE";
    let rows = database.run(ALL, &[]).await?;
    changes(&rows, true)
}

/// The changes after a revision. If the last revision is lower, the database was restored, and all policies are
/// returned.
pub(super) async fn since(database: &Database, revision: i64) -> Result<Changes, Failed> {
    const SINCE: &str = "SELECT head.revision, changed.name, p.name, p.revision, p.created_at, p.updated_at, \
             p.updated_by, p.spec FROM policy_head head \
             LEFT JOIN (SELECT DISTINCT name FROM policy_revisions WHERE revision > $1) changed ON TRUE \
             LEFT JOIN policies p ON p.name = changed.name";
    let rows = database.run(SINCE, &[revision.into()]).await?;
    let changes = changes(&rows, false)?;
    if changes.head < revision { all(database).await } else { Ok(changes) }
}

/// Columns: last revision, name of the changed policy, its current state.
fn changes(rows: &[Row], all: bool) -> Result<Changes, Failed> {
    let head = rows.first().ok_or_else(Failed::no_row)?.number(0)?;
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(name) = row.text_if_any(1)? {
            let is_there = row.text_if_any(2)?.is_some();
            records.push((name, if is_there { Some(Record::read(row, 2)?) } else { None }));
        }
    }
    Ok(Changes { head, all, records })
}
