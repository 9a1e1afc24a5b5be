//! Reads all policies, or those changed since a revision, in one query.

use super::row::PolicyRow;
use crate::database::{Database, DatabaseError, Row};

/// The changed policies.
#[derive(Debug)]
pub struct PolicyChanges {
    /// The last revision of any policy, up to which the list is complete.
    pub last_revision: i64,
    /// Whether the list has all policies of the database, so that a policy that is not in it was deleted.
    pub is_complete: bool,
    /// The changed policies by name; `None` for a deleted policy.
    pub policies: Vec<(String, Option<PolicyRow>)>,
}

/// Reads all policies.
pub(super) async fn read_all(database: &Database) -> Result<PolicyChanges, DatabaseError> {
    const ALL: &str = "SELECT head.revision, p.name, p.name, p.revision, p.created_at, p.updated_at, p.updated_by, \
             p.spec FROM policy_head head LEFT JOIN policies p ON TRUE";
    let rows = database.run(ALL, &[]).await?;
    parse_changes(&rows, true)
}

/// Reads the changes after a revision. If the last revision in the database is lower, the database was restored to an
/// earlier state; then all policies are returned.
pub(super) async fn read_since(database: &Database, revision: i64) -> Result<PolicyChanges, DatabaseError> {
    const SINCE: &str = "SELECT head.revision, changed.name, p.name, p.revision, p.created_at, p.updated_at, \
             p.updated_by, p.spec FROM policy_head head \
             LEFT JOIN (SELECT DISTINCT name FROM policy_revisions WHERE revision > $1) changed ON TRUE \
             LEFT JOIN policies p ON p.name = changed.name";
    let rows = database.run(SINCE, &[revision.into()]).await?;
    let changes = parse_changes(&rows, false)?;
    if changes.last_revision < revision { read_all(database).await } else { Ok(changes) }
}

/// Parses rows of the columns: last revision, name of the changed policy, its row in `policies`.
fn parse_changes(rows: &[Row], is_complete: bool) -> Result<PolicyChanges, DatabaseError> {
    let last_revision = rows.first().ok_or_else(DatabaseError::missing_row)?.number(0)?;
    let mut policies = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(name) = row.optional_text(1)? {
            let exists = row.optional_text(2)?.is_some();
            policies.push((name, if exists { Some(PolicyRow::parse(row, 2)?) } else { None }));
        }
    }
    Ok(PolicyChanges { last_revision, is_complete, policies })
}
