//! The policies and their revisions in the database.

mod changes;
mod row;
mod write;

use super::port::{NewPolicy, PolicyRecord, PolicyRevision, PolicyStoreError, PutOutcome, WritePrecondition};
use crate::database::{Database, DatabaseError, Listener};
use crate::model::clock::Clock;
use row::unavailable;
use std::sync::Arc;
use write::{PolicyWrite, WriteResult, write};

pub use changes::PolicyChanges;
pub use row::PolicyRow;

/// The tables `policies` and `policy_revisions`.
pub struct PolicyTables {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl PolicyTables {
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// A listener for writes of other replicas.
    pub fn listen(&self) -> Listener {
        self.database.listen(write::CHANNEL)
    }

    /// Reads all policies.
    pub async fn read_all(&self) -> Result<PolicyChanges, DatabaseError> {
        changes::read_all(&self.database).await
    }

    /// Reads the changes after a revision, or all policies if the database was restored to an earlier state.
    pub async fn read_since(&self, revision: i64) -> Result<PolicyChanges, DatabaseError> {
        changes::read_since(&self.database, revision).await
    }

    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<PolicyRecord>, PolicyStoreError> {
        const LIST: &str = "SELECT name, revision, created_at, updated_at, updated_by, spec FROM policies \
             WHERE name > $1 ORDER BY name LIMIT $2";
        let params = [after.unwrap_or_default().into(), to_i64(limit).into()];
        let rows = self.database.run(LIST, &params).await.map_err(unavailable)?;
        rows.iter().map(|row| PolicyRow::parse(row, 0).map_err(unavailable)?.into_policy()).collect()
    }

    pub async fn get(&self, name: &str) -> Result<Option<PolicyRecord>, PolicyStoreError> {
        let rows = self.database.run(write::SELECT_POLICY, &[name.into()]).await.map_err(unavailable)?;
        rows.first().map(|row| PolicyRow::parse(row, 0).map_err(unavailable)?.into_policy()).transpose()
    }

    /// Creates or replaces a policy. Returns it with its revision number and what was done.
    pub async fn put(
        &self,
        NewPolicy { policy, written_by }: NewPolicy,
        precondition: &WritePrecondition,
    ) -> Result<(PolicyRecord, i64, PutOutcome), PolicyStoreError> {
        let name = policy.name().to_string();
        let spec = serde_json::to_string(&**policy.spec()).map_err(|error| {
            tracing::error!(%error, "a policy could not be serialized");
            PolicyStoreError::Unavailable
        })?;
        let change = PolicyWrite { name: &name, subject: &written_by, new_spec: Some(&spec), precondition };
        let WriteResult { previous, revision, written_at } = write(&self.database, &*self.clock, &change).await?;
        let outcome = if previous.is_some() { PutOutcome::Updated } else { PutOutcome::Created };
        let created_at = previous.map_or_else(|| written_at.clone(), |previous| previous.created_at);
        let row = PolicyRow { name, revision, created_at, updated_at: written_at, updated_by: written_by, spec };
        Ok((row.into_policy()?, revision, outcome))
    }

    pub async fn delete(
        &self,
        name: &str,
        subject: &str,
        precondition: &WritePrecondition,
    ) -> Result<PolicyRecord, PolicyStoreError> {
        let deletion = PolicyWrite { name, subject, new_spec: None, precondition };
        let result = write(&self.database, &*self.clock, &deletion).await?;
        result.previous.ok_or(PolicyStoreError::NotFound)?.into_policy()
    }

    pub async fn revisions(
        &self,
        name: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PolicyRevision>, PolicyStoreError> {
        const REVISIONS: &str = "SELECT revision, at, by, change, diff FROM policy_revisions \
             WHERE name = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3";
        const EXISTS: &str = "SELECT revision FROM policy_revisions WHERE name = $1 LIMIT 1";
        let params = [name.into(), before.unwrap_or(i64::MAX).into(), to_i64(limit).into()];
        let rows = self.database.run(REVISIONS, &params).await.map_err(unavailable)?;
        if rows.is_empty() && self.database.run(EXISTS, &[name.into()]).await.map_err(unavailable)?.is_empty() {
            return Err(PolicyStoreError::NotFound);
        }
        rows.iter().map(row::parse_revision).collect()
    }
}

fn to_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
