//! One write in one transaction: takes the next revision, checks the precondition, and adds a row to the history.

use super::row::{Record, unavailable};
use crate::database::{Database, Failed, Work};
use crate::model::clock::Clock;
use crate::policy::store::diff::diff;
use crate::policy::store::port::{Expected, PolicyStoreError, RevisionChange};
use serde_json::Value;

/// The channel on which writes are announced.
pub(super) const CHANNEL: &str = "claviger_policies";

pub(super) const FIND: &str =
    "SELECT name, revision, created_at, updated_at, updated_by, spec FROM policies WHERE name = $1";

/// A write and its precondition.
pub(super) struct Write<'a> {
    pub(super) name: &'a str,
    pub(super) by: &'a str,
    /// The spec as JSON; `None` deletes the policy.
    pub(super) next: Option<&'a str>,
    pub(super) expected: &'a Expected,
}

/// The result of a write.
pub(super) struct Written {
    pub(super) before: Option<Record>,
    pub(super) revision: i64,
    pub(super) at: String,
}

pub(super) async fn write(
    database: &Database,
    clock: &dyn Clock,
    write: &Write<'_>,
) -> Result<Written, PolicyStoreError> {
    let mut work = database.begin().await.map_err(unavailable)?;
    // First, because it serialises the writers: no other writer can change what is read after it.
    let revision = next_revision(&mut work).await.map_err(unavailable)?;
    let rows = work.run(FIND, &[write.name.into()]).await.map_err(unavailable)?;
    let before = rows.first().map(|row| Record::read(row, 0)).transpose().map_err(unavailable)?;
    if before.is_none() && write.next.is_none() {
        return Err(PolicyStoreError::NotFound);
    }
    if !is_as_expected(before.as_ref(), write.expected) {
        return Err(PolicyStoreError::PreconditionFailed);
    }
    let at = format!("{:.6}", clock.now());
    replace(&mut work, write, revision, &at).await.map_err(unavailable)?;
    remember(&mut work, write, before.as_ref(), revision, &at).await.map_err(unavailable)?;
    work.notify(CHANNEL).await.map_err(unavailable)?;
    work.commit().await.map_err(unavailable)?;
    Ok(Written { before, revision, at })
}

async fn next_revision(work: &mut Work) -> Result<i64, Failed> {
    let rows = work.run("UPDATE policy_head SET revision = revision + 1 RETURNING revision", &[]).await?;
    rows.first().ok_or_else(Failed::no_row)?.number(0)
}

fn is_as_expected(before: Option<&Record>, expected: &Expected) -> bool {
    match expected {
        Expected::Any => true,
        Expected::Absent => before.is_none(),
        Expected::Revision(revision) => before.is_some_and(|before| before.revision.to_string() == *revision),
    }
}

async fn replace(work: &mut Work, write: &Write<'_>, revision: i64, at: &str) -> Result<(), Failed> {
    const PUT: &str = "INSERT INTO policies (name, revision, created_at, updated_at, updated_by, spec) \
         VALUES ($1, $2, $3, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, \
         updated_at = excluded.updated_at, updated_by = excluded.updated_by, spec = excluded.spec";
    const DELETE: &str = "DELETE FROM policies WHERE name = $1";
    let name = write.name.into();
    match write.next {
        Some(spec) => work.run(PUT, &[name, revision.into(), at.into(), write.by.into(), spec.into()]).await,
        None => work.run(DELETE, &[name]).await,
    }
    .map(|_| ())
}

async fn remember(
    work: &mut Work,
    write: &Write<'_>,
    before: Option<&Record>,
    revision: i64,
    at: &str,
) -> Result<(), Failed> {
    const REMEMBER: &str =
        "INSERT INTO policy_revisions (revision, name, at, by, change, diff) VALUES ($1, $2, $3, $4, $5, $6)";
    let change = match (before, write.next) {
        (None, _) => RevisionChange::Created,
        (Some(_), Some(_)) => RevisionChange::Updated,
        (Some(_), None) => RevisionChange::Deleted,
    };
    let edits = diff(before.map(|before| json(&before.spec)).as_ref(), write.next.map(json).as_ref());
    // The values are parsed JSON or strings, so they can be written as JSON.
    let edits = serde_json::to_string(&edits).unwrap_or_else(|_| "[]".into());
    let params =
        [revision.into(), write.name.into(), at.into(), write.by.into(), change.as_str().into(), (&edits).into()];
    work.run(REMEMBER, &params).await.map(|_| ())
}

/// A spec that is no longer valid JSON is returned as a string.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
