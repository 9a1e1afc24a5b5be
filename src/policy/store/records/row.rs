//! Converts table rows into policies and revisions.

use crate::database::{Failed, Row};
use crate::policy::store::diff::Edit;
use crate::policy::store::port::{PolicyRevision, PolicySource, PolicyStoreError, RevisionChange, StoredPolicy};
use crate::wire::policy::PolicySpec;
use jiff::Timestamp;

/// A policy as stored.
#[derive(Debug, Clone)]
pub struct Record {
    pub name: String,
    pub revision: i64,
    pub created_at: String,
    pub updated_at: String,
    pub updated_by: String,
    /// JSON, possibly written by an older version.
    pub spec: String,
}

impl Record {
    /// Reads six columns, beginning with this one.
    pub(super) fn read(row: &Row, column: usize) -> Result<Self, Failed> {
        Ok(Self {
            name: row.text(column)?,
            revision: row.number(column + 1)?,
            created_at: row.text(column + 2)?,
            updated_at: row.text(column + 3)?,
            updated_by: row.text(column + 4)?,
            spec: row.text(column + 5)?,
        })
    }

    pub(super) fn into_policy(self) -> Result<StoredPolicy, PolicyStoreError> {
        let spec = serde_json::from_str(&self.spec).unwrap_or_else(|_| {
            // It is listed nevertheless, so that it can be replaced or deleted.
            tracing::error!(policy = self.name, "a stored policy could not be parsed; it is shown empty");
            PolicySpec::default()
        });
        Ok(StoredPolicy {
            revision: self.revision.to_string(),
            created_at: time(&self.created_at)?,
            updated_at: time(&self.updated_at)?,
            name: self.name,
            updated_by: self.updated_by,
            source: PolicySource::Api,
            spec,
        })
    }
}

/// Columns `revision, at, by, change, diff`.
pub(super) fn revision(row: &Row) -> Result<PolicyRevision, PolicyStoreError> {
    let change = row.text(3).map_err(unavailable)?;
    let change = RevisionChange::ALL.into_iter().find(|known| known.as_str() == change);
    let diff = serde_json::from_str::<Vec<Edit>>(&row.text(4).map_err(unavailable)?);
    let (Some(change), Ok(diff)) = (change, diff) else {
        tracing::error!("a policy revision could not be parsed");
        return Err(PolicyStoreError::Unavailable);
    };
    Ok(PolicyRevision {
        revision: row.number(0).map_err(unavailable)?,
        at: time(&row.text(1).map_err(unavailable)?)?,
        by: row.text(2).map_err(unavailable)?,
        change,
        diff,
    })
}

fn time(text: &str) -> Result<Timestamp, PolicyStoreError> {
    text.parse().map_err(|_| {
        tracing::error!("a policy timestamp could not be parsed");
        PolicyStoreError::Unavailable
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn unavailable(error: Failed) -> PolicyStoreError {
    tracing::error!(kind = error.kind(), "stored policies are unavailable");
    PolicyStoreError::Unavailable
}
