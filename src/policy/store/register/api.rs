//! Policies in the API: those of files and clusters are read-only, and a write is active on this replica before its response
//! is sent.

use super::PolicyRegister;
use crate::policy::draft::is_policy_name;
use crate::policy::store::port::{
    NewPolicy, PolicyRecord, PolicyRevision, PolicyStoreError, PutOutcome, WritePrecondition,
};
use std::collections::BTreeMap;
use std::ops::Bound;

impl PolicyRegister {
    /// At most `limit` policies whose names come after `after`, in bytewise order of name. The active policies of files and clusters
    /// are among them, and are read-only.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<PolicyRecord>, PolicyStoreError> {
        let stored = self.tables.list(after, limit).await?;
        let mut by_name: BTreeMap<String, PolicyRecord> =
            stored.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
        let names_after = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        for (name, policy) in self.files.load().range::<str, _>(names_after).take(limit) {
            by_name.insert(name.clone(), policy.clone());
        }
        let resources = self.active_resources.load();
        let resources =
            resources.range::<str, _>(names_after).filter_map(|(name, policy)| Some((name, policy.to_record()?)));
        for (name, policy) in resources.take(limit) {
            // The sources are not read at the same moment, so a file or the database may have the name too. They have precedence.
            by_name.entry(name.to_string()).or_insert(policy);
        }
        // Stored policies beyond the limit were not read, so names beyond the limit may be missing. Up to the limit the list is
        // complete.
        Ok(by_name.into_values().take(limit).collect())
    }

    /// The policy with this name; `None` if there is none.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<PolicyRecord>, PolicyStoreError> {
        if let Some(policy) = self.files.load().get(name) {
            return Ok(Some(policy.clone()));
        }
        // The name of a custom resource may be invalid for a stored policy.
        if is_policy_name(name)
            && let Some(policy) = self.tables.get(name).await?
        {
            return Ok(Some(policy));
        }
        Ok(self.find_resource(name))
    }

    /// Stores a new policy.
    ///
    /// # Errors
    /// [`PolicyStoreError::AlreadyExists`] if a stored policy has the name, [`PolicyStoreError::ReadOnly`] if a file or a cluster
    /// has it, and other errors.
    pub async fn create(&self, policy: NewPolicy) -> Result<PolicyRecord, PolicyStoreError> {
        match self.put(policy, WritePrecondition::Absent).await {
            Ok((policy, _)) => Ok(policy),
            Err(PolicyStoreError::PreconditionFailed) => Err(PolicyStoreError::AlreadyExists),
            Err(error) => Err(error),
        }
    }

    /// Replaces a policy, or creates it if the name is free and the precondition permits it.
    ///
    /// # Errors
    /// See [`PolicyStoreError`].
    pub async fn put(
        &self,
        new: NewPolicy,
        precondition: WritePrecondition,
    ) -> Result<(PolicyRecord, PutOutcome), PolicyStoreError> {
        let mut state = self.state.lock().await;
        if self.is_read_only(new.policy.name()) {
            return Err(PolicyStoreError::ReadOnly);
        }
        let compiled = new.policy.clone();
        let (stored, revision, outcome) = self.tables.put(new, &precondition).await?;
        state.compiled_policies.insert(compiled, revision);
        self.activate(&mut state);
        Ok((stored, outcome))
    }

    /// Deletes a stored policy for the administrator `subject`, and returns its last state. If a file has a policy of the same
    /// name, the API shows the policy of the file. The stored policy can then be deleted only without a precondition, because its
    /// revision is not shown.
    ///
    /// # Errors
    /// [`PolicyStoreError::NotFound`] if there is none. [`PolicyStoreError::ReadOnly`] if only a file or a cluster has it, or if a
    /// file has it and there is a precondition. Other errors as in [`PolicyStoreError`].
    pub async fn delete(
        &self,
        name: &str,
        subject: &str,
        precondition: WritePrecondition,
    ) -> Result<PolicyRecord, PolicyStoreError> {
        let mut state = self.state.lock().await;
        if self.is_file_policy(name) && precondition != WritePrecondition::Any {
            return Err(PolicyStoreError::ReadOnly);
        }
        match self.tables.delete(name, subject, &precondition).await {
            Ok(deleted) => {
                state.compiled_policies.remove(name);
                self.activate(&mut state);
                Ok(deleted)
            }
            Err(PolicyStoreError::NotFound) if self.is_read_only(name) => Err(PolicyStoreError::ReadOnly),
            Err(error) => Err(error),
        }
    }

    /// At most `limit` revisions of a policy, newest first; only those before the revision `before`. A deleted policy has
    /// revisions too; a policy of a file or of a cluster has none.
    ///
    /// # Errors
    /// [`PolicyStoreError::NotFound`] for a name that was never used, or the database cannot be read.
    pub async fn revisions(
        &self,
        name: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PolicyRevision>, PolicyStoreError> {
        match self.tables.revisions(name, before, limit).await {
            Err(PolicyStoreError::NotFound) if self.is_read_only(name) => Ok(Vec::new()),
            result => result,
        }
    }

    fn is_file_policy(&self, name: &str) -> bool {
        self.files.load().contains_key(name)
    }

    /// Whether a file or a custom resource has this name. An invalid deny policy has its name while it denies: a stored policy of
    /// that name would end this.
    fn is_read_only(&self, name: &str) -> bool {
        self.is_file_policy(name) || self.active_resources.load().contains_key(name)
    }
}
