//! Writes a policy in one transaction: takes the next revision, checks the precondition, changes the policy, and adds a
//! row to `policy_revisions`.

use super::row::{PolicyRow, unavailable};
use crate::database::{Database, DatabaseError, UnitOfWork};
use crate::model::clock::{Clock, format_time};
use crate::policy::store::diff::diff;
use crate::policy::store::port::{ChangeKind, PolicyStoreError, WritePrecondition};
use serde_json::Value;

/// The notification channel for writes.
pub(super) const CHANNEL: &str = "claviger_policies";

pub(super) const SELECT_POLICY: &str =
    "SELECT name, revision, created_at, updated_at, updated_by, spec FROM policies WHERE name = $1";

/// A write of a policy.
pub(super) struct PolicyWrite<'a> {
    pub(super) name: &'a str,
    /// The subject of the administrator who writes it.
    pub(super) subject: &'a str,
    /// The new spec as JSON; `None` deletes the policy.
    pub(super) new_spec: Option<&'a str>,
    pub(super) precondition: &'a WritePrecondition,
}

/// The result of a write.
pub(super) struct WriteResult {
    /// The replaced or deleted version; `None` if the policy is new.
    pub(super) previous: Option<PolicyRow>,
    pub(super) revision: i64,
    /// RFC 3339.
    pub(super) written_at: String,
}

/// Performs a write.
///
/// # Errors
/// `NotFound` for the deletion of a policy that does not exist, `PreconditionFailed`, or `Unavailable`.
pub(super) async fn write(
    database: &Database,
    clock: &dyn Clock,
    write: &PolicyWrite<'_>,
) -> Result<WriteResult, PolicyStoreError> {
    let mut work = database.begin().await.map_err(unavailable)?;
    // The revision is taken first, because its row lock serializes the writers: no other writer can change what is read afterwards.
    let revision = next_revision(&mut work).await.map_err(unavailable)?;
    let rows = work.run(SELECT_POLICY, &[write.name.into()]).await.map_err(unavailable)?;
    let previous = rows.first().map(|row| PolicyRow::parse(row, 0)).transpose().map_err(unavailable)?;
    if previous.is_none() && write.new_spec.is_none() {
        return Err(PolicyStoreError::NotFound);
    }
    if !is_met(write.precondition, previous.as_ref()) {
        return Err(PolicyStoreError::PreconditionFailed);
    }
    let written_at = format_time(clock.now());
    put_or_delete(&mut work, write, revision, &written_at).await.map_err(unavailable)?;
    insert_revision(&mut work, write, previous.as_ref(), revision, &written_at).await.map_err(unavailable)?;
    work.notify(CHANNEL).await.map_err(unavailable)?;
    work.commit().await.map_err(unavailable)?;
    Ok(WriteResult { previous, revision, written_at })
}

async fn next_revision(work: &mut UnitOfWork) -> Result<i64, DatabaseError> {
    let rows = work.run("UPDATE policy_head SET revision = revision + 1 RETURNING revision", &[]).await?;
    rows.first().ok_or_else(DatabaseError::missing_row)?.number(0)
}

fn is_met(precondition: &WritePrecondition, previous: Option<&PolicyRow>) -> bool {
    match precondition {
        WritePrecondition::Any => true,
        WritePrecondition::Absent => previous.is_none(),
        WritePrecondition::Revision(revision) => {
            previous.is_some_and(|previous| previous.revision.to_string() == *revision)
        }
    }
}

async fn put_or_delete(
    work: &mut UnitOfWork,
    write: &PolicyWrite<'_>,
    revision: i64,
    written_at: &str,
) -> Result<(), DatabaseError> {
    const PUT: &str = "INSERT INTO policies (name, revision, created_at, updated_at, updated_by, spec) \
         VALUES ($1, $2, $3, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, \
         updated_at = excluded.updated_at, updated_by = excluded.updated_by, spec = excluded.spec";
    const DELETE: &str = "DELETE FROM policies WHERE name = $1";
    let name = write.name.into();
    match write.new_spec {
        Some(spec) => {
            work.run(PUT, &[name, revision.into(), written_at.into(), write.subject.into(), spec.into()]).await
        }
        None => work.run(DELETE, &[name]).await,
    }
    .map(|_| ())
}

async fn insert_revision(
    work: &mut UnitOfWork,
    write: &PolicyWrite<'_>,
    previous: Option<&PolicyRow>,
    revision: i64,
    written_at: &str,
) -> Result<(), DatabaseError> {
    const INSERT: &str =
        "INSERT INTO policy_revisions (revision, name, at, by, change, diff) VALUES ($1, $2, $3, $4, $5, $6)";
    let change = match (previous, write.new_spec) {
        (None, _) => ChangeKind::Created,
        (Some(_), Some(_)) => ChangeKind::Updated,
        (Some(_), None) => ChangeKind::Deleted,
    };
    let diff =
        diff(previous.map(|previous| parse_spec(&previous.spec)).as_ref(), write.new_spec.map(parse_spec).as_ref());
    // Does not fail: the values are parsed JSON or strings.
    let diff_json = serde_json::to_string(&diff).unwrap_or_else(|_| "[]".into());
    let params = [
        revision.into(),
        write.name.into(),
        written_at.into(),
        write.subject.into(),
        change.as_str().into(),
        (&diff_json).into(),
    ];
    work.run(INSERT, &params).await.map(|_| ())
}

/// Parses a spec. A text that is not valid JSON is returned as a string.
fn parse_spec(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
