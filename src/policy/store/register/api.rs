//! The API's view: policies of files and clusters are read-only, and a write is active on this replica before it is answered.

use super::PolicyRegister;
use crate::policy::draft::is_policy_name;
use crate::policy::store::port::{
    Change, Expected, NewPolicy, PolicyRevision, PolicyStore, PolicyStoreError, StoredPolicy,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Bound;

#[async_trait]
impl PolicyStore for PolicyRegister {
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<StoredPolicy>, PolicyStoreError> {
        let stored = self.records.list(after, limit).await?;
        let mut by_name: BTreeMap<String, StoredPolicy> =
            stored.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        for (name, policy) in self.files.load().range::<str, _>(behind).take(limit) {
            by_name.insert(name.clone(), policy.clone());
        }
        for (name, policy) in self.resources.load().range::<str, _>(behind).take(limit) {
            // The sources are not read at the same moment; the one with precedence is listed.
            by_name.entry(name.to_string()).or_insert_with(|| policy.stored());
        }
        // Beyond the limit, stored policies may be missing between those of files; up to the limit none is
        // missing.
        Ok(by_name.into_values().take(limit).collect())
    }

    async fn get(&self, name: &str) -> Result<Option<StoredPolicy>, PolicyStoreError> {
        if let Some(policy) = self.files.load().get(name) {
            return Ok(Some(policy.clone()));
        }
        // A custom resource may have a name that no stored policy has.
        if is_policy_name(name)
            && let Some(policy) = self.records.get(name).await?
        {
            return Ok(Some(policy));
        }
        Ok(self.resource(name))
    }

    async fn create(&self, policy: NewPolicy) -> Result<StoredPolicy, PolicyStoreError> {
        match self.put(policy, Expected::Absent).await {
            Ok((policy, _)) => Ok(policy),
            Err(PolicyStoreError::PreconditionFailed) => Err(PolicyStoreError::AlreadyExists),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, policy: NewPolicy, expected: Expected) -> Result<(StoredPolicy, Change), PolicyStoreError> {
        let mut state = self.state.lock().await;
        if self.is_of_a_file(policy.policy.name()) || self.is_of_a_cluster(policy.policy.name()) {
            return Err(PolicyStoreError::ReadOnly);
        }
        let compiled = policy.policy.clone();
        let (stored, revision, change) = self.records.put(policy, &expected).await?;
        state.compiled.put(compiled, revision);
        self.put_in_force(&mut state);
        Ok((stored, change))
    }

    /// A stored policy that is inactive because a file has its name can be deleted, which resolves the conflict.
    /// It cannot have a precondition, because its revision is not visible.
    async fn delete(&self, name: &str, by: &str, expected: Expected) -> Result<StoredPolicy, PolicyStoreError> {
        let mut state = self.state.lock().await;
        let is_of_a_file = self.is_of_a_file(name);
        if is_of_a_file && expected != Expected::Any {
            return Err(PolicyStoreError::ReadOnly);
        }
        match self.records.delete(name, by, &expected).await {
            Ok(deleted) => {
                state.compiled.remove(name);
                self.put_in_force(&mut state);
                Ok(deleted)
            }
            Err(PolicyStoreError::NotFound) if is_of_a_file || self.is_of_a_cluster(name) => {
                Err(PolicyStoreError::ReadOnly)
            }
            Err(error) => Err(error),
        }
    }

    async fn revisions(
        &self,
        name: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PolicyRevision>, PolicyStoreError> {
        match self.records.revisions(name, after, limit).await {
            Err(PolicyStoreError::NotFound) if self.is_of_a_file(name) || self.is_of_a_cluster(name) => Ok(Vec::new()),
            result => result,
        }
    }
}

impl PolicyRegister {
    fn is_of_a_file(&self, name: &str) -> bool {
        self.files.load().contains_key(name)
    }

    fn is_of_a_cluster(&self, name: &str) -> bool {
        self.resources.load().contains_key(name)
    }
}
