//! Parses rows of the tables `policies` and `policy_revisions`.

use crate::database::{DatabaseError, Row};
use crate::policy::store::diff::SpecChange;
use crate::policy::store::port::{ChangeKind, PolicyRecord, PolicyRevision, PolicySource, PolicyStoreError};
use crate::wire::policy::PolicySpec;
use jiff::Timestamp;

/// A row of `policies`.
#[derive(Debug, Clone)]
pub struct PolicyRow {
    pub name: String,
    pub revision: i64,
    pub created_at: String,
    pub updated_at: String,
    pub updated_by: String,
    /// JSON, possibly written by an older version.
    pub spec: String,
}

impl PolicyRow {
    /// Parses six columns of a row, beginning with `column`.
    pub(super) fn parse(row: &Row, column: usize) -> Result<Self, DatabaseError> {
        Ok(Self {
            name: row.text(column)?,
            revision: row.number(column + 1)?,
            created_at: row.text(column + 2)?,
            updated_at: row.text(column + 3)?,
            updated_by: row.text(column + 4)?,
            spec: row.text(column + 5)?,
        })
    }

    pub(super) fn into_policy(self) -> Result<PolicyRecord, PolicyStoreError> {
        let spec = serde_json::from_str(&self.spec).unwrap_or_else(|_| {
            // The policy must be listed, so that it can be replaced or deleted.
            tracing::error!(policy = self.name, "a stored policy could not be parsed; it is shown empty");
            PolicySpec::default()
        });
        Ok(PolicyRecord {
            revision: self.revision.to_string(),
            created_at: parse_time(&self.created_at)?,
            updated_at: parse_time(&self.updated_at)?,
            name: self.name,
            updated_by: self.updated_by,
            source: PolicySource::Api,
            spec,
        })
    }
}

/// Parses a row of the columns `revision, at, by, change, diff`.
pub(super) fn parse_revision(row: &Row) -> Result<PolicyRevision, PolicyStoreError> {
    let kind = ChangeKind::from_name(&row.text(3).map_err(unavailable)?);
    let diff = serde_json::from_str::<Vec<SpecChange>>(&row.text(4).map_err(unavailable)?);
    let (Some(kind), Ok(diff)) = (kind, diff) else {
        tracing::error!("a policy revision could not be parsed");
        return Err(PolicyStoreError::Unavailable);
    };
    Ok(PolicyRevision {
        revision: row.number(0).map_err(unavailable)?,
        changed_at: parse_time(&row.text(1).map_err(unavailable)?)?,
        changed_by: row.text(2).map_err(unavailable)?,
        kind,
        diff,
    })
}

fn parse_time(text: &str) -> Result<Timestamp, PolicyStoreError> {
    text.parse().map_err(|_| {
        tracing::error!("a policy timestamp could not be parsed");
        PolicyStoreError::Unavailable
    })
}

/// Logs the error, and converts it.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn unavailable(error: DatabaseError) -> PolicyStoreError {
    tracing::error!(kind = error.kind(), "stored policies are unavailable");
    PolicyStoreError::Unavailable
}
