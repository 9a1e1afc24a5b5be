//! The port of policies written through the API, and its types.

use super::diff::Edit;
use crate::policy::matching::Policy;
use crate::wire::policy::PolicySpec;
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;

/// Reads and writes policies. Active policies of files and clusters are listed too; they are read-only.
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// Policies after `after`, in bytewise order of name, at most `limit`.
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<StoredPolicy>, PolicyStoreError>;

    /// One policy.
    async fn get(&self, name: &str) -> Result<Option<StoredPolicy>, PolicyStoreError>;

    /// Stores a policy whose name is free.
    async fn create(&self, policy: NewPolicy) -> Result<StoredPolicy, PolicyStoreError>;

    /// Replaces a policy, or creates it if the name is free and `expected` permits it.
    async fn put(&self, policy: NewPolicy, expected: Expected) -> Result<(StoredPolicy, Change), PolicyStoreError>;

    /// Deletes a policy and returns its last state. If it does not exist, the error is
    /// [`PolicyStoreError::NotFound`], for any `expected`.
    async fn delete(&self, name: &str, by: &str, expected: Expected) -> Result<StoredPolicy, PolicyStoreError>;

    /// The revisions of a policy below `after`, newest first, at most `limit`. A deleted policy has revisions too;
    /// a policy of a file has none. For a name that was never used the error is [`PolicyStoreError::NotFound`].
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
    /// Time of the first write; for a file, of its last change.
    pub created_at: Timestamp,
    /// Time of the last write.
    pub updated_at: Timestamp,
    /// The subject of the last write; for a file, the file's name; for a custom resource, the field manager.
    pub updated_by: String,
    /// Where it is stored.
    pub source: PolicySource,
    /// The spec.
    pub spec: PolicySpec,
}

/// Where a policy is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicySource {
    /// In the database, through the API.
    Api,
    /// In a file, and read-only.
    File,
    /// In a cluster as a custom resource, and read-only.
    Kubernetes,
}

impl PolicySource {
    /// The value in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::File => "file",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// Whether the API cannot write it.
    #[must_use]
    pub const fn is_read_only(self) -> bool {
        match self {
            Self::Api => false,
            Self::File | Self::Kubernetes => true,
        }
    }
}

/// A policy to write.
#[derive(Debug, Clone)]
pub struct NewPolicy {
    /// The compiled policy.
    pub policy: Arc<Policy>,
    /// The subject of the write.
    pub by: String,
}

/// The precondition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// No precondition.
    Any,
    /// The policy has this revision.
    Revision(String),
    /// No policy has this name.
    Absent,
}

/// The effect of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A new policy was created.
    Created,
    /// An existing policy was replaced.
    Updated,
}

/// One change of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRevision {
    /// Its number, which increases with every write to any policy.
    pub revision: i64,
    /// When.
    pub at: Timestamp,
    /// The subject who changed it.
    pub by: String,
    /// The kind of change.
    pub change: RevisionChange,
    /// The differences in the spec.
    pub diff: Vec<Edit>,
}

/// The kinds of changes to a policy.
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
    /// All values.
    pub const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Deleted];

    /// The value in the API and in the database.
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
    #[error("the stored policy does not match the precondition")]
    PreconditionFailed,
    /// A policy of a file or of a cluster has this name.
    #[error("the policy is kept in a file or in a cluster and is read-only")]
    ReadOnly,
    /// The database failed. Whether the write happened is unknown.
    #[error("the policies cannot be reached")]
    Unavailable,
}
