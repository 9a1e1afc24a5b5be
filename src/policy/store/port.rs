//! The port of policies that are written through the API, and what passes through it.

use super::diff::Edit;
use crate::policy::matching::Policy;
use crate::wire::policy::PolicySpec;
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;

/// Reads and writes policies. Policies of files are listed too and are read-only.
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// Policies in bytewise order of name, those behind `after`, at most `limit`.
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<StoredPolicy>, PolicyStoreError>;

    /// One policy.
    async fn get(&self, name: &str) -> Result<Option<StoredPolicy>, PolicyStoreError>;

    /// Stores a policy whose name is free.
    async fn create(&self, policy: NewPolicy) -> Result<StoredPolicy, PolicyStoreError>;

    /// Replaces a policy, or creates it if the name is free and `expected` permits it.
    async fn put(&self, policy: NewPolicy, expected: Expected) -> Result<(StoredPolicy, Change), PolicyStoreError>;

    /// Deletes a policy and returns it as it was. Without such a policy it is [`PolicyStoreError::NotFound`], whatever
    /// was expected.
    async fn delete(&self, name: &str, by: &str, expected: Expected) -> Result<StoredPolicy, PolicyStoreError>;

    /// The revisions of a policy below `after`, newest first, at most `limit`. A deleted policy has them too; a policy of a file
    /// has none. A name that was never used is [`PolicyStoreError::NotFound`].
    async fn revisions(
        &self,
        name: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<PolicyRevision>, PolicyStoreError>;
}

/// A policy with its metadata.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// Its name.
    pub name: String,
    /// The strong `ETag`: unique for each write.
    pub revision: String,
    /// Time of the first write; of a file, its last change.
    pub created_at: Timestamp,
    /// Time of the last write.
    pub updated_at: Timestamp,
    /// The subject who wrote it last; of a file, the file's name.
    pub updated_by: String,
    /// Where it is kept.
    pub source: PolicySource,
    /// What it says.
    pub spec: PolicySpec,
}

/// Where a policy is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicySource {
    /// In the database, through the API.
    Api,
    /// In a file, and read-only.
    File,
}

impl PolicySource {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::File => "file",
        }
    }
}

/// A policy to be written.
#[derive(Debug, Clone)]
pub struct NewPolicy {
    /// The compiled policy.
    pub policy: Arc<Policy>,
    /// The subject who writes it.
    pub by: String,
}

/// What a write requires of the stored policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Anything or nothing.
    Any,
    /// This revision.
    Revision(String),
    /// No policy of that name.
    Absent,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The name was free.
    Created,
    /// A policy was replaced.
    Updated,
}

/// One change of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRevision {
    /// Its number, which grows with every write to any policy.
    pub revision: i64,
    /// When.
    pub at: Timestamp,
    /// The subject who made it.
    pub by: String,
    /// What was done.
    pub change: RevisionChange,
    /// What it changed in the spec.
    pub diff: Vec<Edit>,
}

/// What was done to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionChange {
    /// It was made.
    Created,
    /// It was replaced.
    Updated,
    /// It was deleted.
    Deleted,
}

impl RevisionChange {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Deleted];

    /// The word in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// Why a policy was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyStoreError {
    /// The name is taken.
    #[error("there is a policy of that name")]
    AlreadyExists,
    /// There is no policy with this name.
    #[error("there is no policy of that name")]
    NotFound,
    /// The stored policy is not the expected one.
    #[error("the policy is not what was expected")]
    PreconditionFailed,
    /// The name is that of a policy in a file.
    #[error("the policy is kept in a file and is read-only")]
    ReadOnly,
    /// The database failed. It is not known whether a write happened.
    #[error("the policies cannot be reached")]
    Unavailable,
}
