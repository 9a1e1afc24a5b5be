//! The policies in the database.

mod changes;
mod row;
mod write;

use super::port::{Change, Expected, NewPolicy, PolicyRevision, PolicyStoreError, StoredPolicy};
use crate::database::{Database, Failed, Listener};
use crate::model::clock::Clock;
use row::unavailable;
use std::sync::Arc;
use write::{Write, Written, write};

pub use changes::Changes;
pub use row::Record;

/// The tables of policies and of their revisions.
pub struct Records {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl Records {
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// Waits for writes of other replicas.
    pub fn listen(&self) -> Listener {
        self.database.listen(write::CHANNEL)
    }

    /// All policies.
    pub async fn all(&self) -> Result<Changes, Failed> {
        changes::all(&self.database).await
    }

    /// The changes after a revision, or all policies if the database was restored to an earlier one.
    pub async fn since(&self, revision: i64) -> Result<Changes, Failed> {
        changes::since(&self.database, revision).await
    }

    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<StoredPolicy>, PolicyStoreError> {
        const LIST: &str = "SELECT name, revision, created_at, updated_at, updated_by, spec FROM policies \
             WHERE name > $1 ORDER BY name LIMIT $2";
        let params = [after.unwrap_or_default().into(), whole(limit).into()];
        let rows = self.database.run(LIST, &params).await.map_err(unavailable)?;
        rows.iter().map(|row| Record::read(row, 0).map_err(unavailable)?.into_policy()).collect()
    }

    pub async fn get(&self, name: &str) -> Result<Option<StoredPolicy>, PolicyStoreError> {
        let rows = self.database.run(write::FIND, &[name.into()]).await.map_err(unavailable)?;
        rows.first().map(|row| Record::read(row, 0).map_err(unavailable)?.into_policy()).transpose()
    }

    /// Also returns the revision as a number.
    pub async fn put(
        &self,
        policy: NewPolicy,
        expected: &Expected,
    ) -> Result<(StoredPolicy, i64, Change), PolicyStoreError> {
        let NewPolicy { policy, by } = policy;
        let name = policy.name().to_string();
        let text = serde_json::to_string(&**policy.spec()).map_err(|error| {
            tracing::error!(%error, "a policy could not be serialized");
            PolicyStoreError::Unavailable
        })?;
        let wanted = Write { name: &name, by: &by, next: Some(&text), expected };
        let Written { before, revision, at } = write(&self.database, &*self.clock, &wanted).await?;
        let change = if before.is_some() { Change::Updated } else { Change::Created };
        let created_at = before.map_or_else(|| at.clone(), |before| before.created_at);
        let record = Record { name, revision, created_at, updated_at: at, updated_by: by, spec: text };
        Ok((record.into_policy()?, revision, change))
    }

    pub async fn delete(&self, name: &str, by: &str, expected: &Expected) -> Result<StoredPolicy, PolicyStoreError> {
        let wanted = Write { name, by, next: None, expected };
        let written = write(&self.database, &*self.clock, &wanted).await?;
        written.before.ok_or(PolicyStoreError::NotFound)?.into_policy()
    }

    pub async fn revisions(
        &self,
        name: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PolicyRevision>, PolicyStoreError> {
        const REVISIONS: &str = "SELECT revision, at, by, change, diff FROM policy_revisions \
             WHERE name = $1 AND revision < $2 ORDER BY revision DESC LIMIT $3";
        const ANY: &str = "SELECT revision FROM policy_revisions WHERE name = $1 LIMIT 1";
        let params = [name.into(), after.unwrap_or(i64::MAX).into(), whole(limit).into()];
        let rows = self.database.run(REVISIONS, &params).await.map_err(unavailable)?;
        if rows.is_empty() && self.database.run(ANY, &[name.into()]).await.map_err(unavailable)?.is_empty() {
            return Err(PolicyStoreError::NotFound);
        }
        rows.iter().map(row::revision).collect()
    }
}

fn whole(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
