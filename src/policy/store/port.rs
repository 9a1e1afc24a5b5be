//! The types with which the API reads and writes policies.

use super::diff::SpecChange;
use crate::policy::compiled_policy::Policy;
use crate::wire::policy::PolicySpec;
use jiff::Timestamp;
use std::sync::Arc;

/// A policy with its metadata.
#[derive(Debug, Clone)]
pub struct PolicyRecord {
    /// The name; `namespace/name` for a namespaced custom resource.
    pub name: String,
    /// The strong `ETag`, different after each write.
    pub revision: String,
    /// Time of the first write; for a file, the time of its last change.
    pub created_at: Timestamp,
    /// Time of the last write.
    pub updated_at: Timestamp,
    /// The administrator of the last write; for a file, the file's name; for a custom resource, the field manager.
    pub updated_by: String,
    /// Where it is stored.
    pub source: PolicySource,
    /// The spec.
    pub spec: PolicySpec,
}

impl PolicyRecord {
    /// A policy of a file or of a cluster.
    pub(in crate::policy) fn read_only(
        policy: &Policy,
        source: PolicySource,
        created_at: Timestamp,
        updated_at: Timestamp,
        updated_by: String,
    ) -> Self {
        let (name, revision) = (policy.name().to_string(), policy.revision().to_string());
        Self { name, revision, created_at, updated_at, updated_by, source, spec: (**policy.spec()).clone() }
    }
}

closed_enum! {
    /// Where a policy is stored.
    pub enum PolicySource {
        /// In the database, through the API.
        Api => "api",
        /// In a file; read-only.
        File => "file",
        /// In a cluster, as a custom resource; read-only.
        Kubernetes => "kubernetes",
    }
}

impl PolicySource {
    /// Whether the API cannot change it.
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
    /// The subject of the administrator who writes it.
    pub written_by: String,
}

/// The precondition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WritePrecondition {
    /// No precondition.
    Any,
    /// The policy has this revision.
    Revision(String),
    /// No policy has this name.
    Absent,
}

/// What a successful [`PolicyRegister::put`](super::PolicyRegister::put) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// A new policy was created.
    Created,
    /// An existing policy was replaced.
    Updated,
}

/// One change of a policy, as recorded in its history.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRevision {
    /// The revision number, which increases with every write to any policy.
    pub revision: i64,
    /// Time of the change.
    pub changed_at: Timestamp,
    /// The subject of the administrator who made the change.
    pub changed_by: String,
    /// What was done to the policy.
    pub kind: ChangeKind,
    /// The differences in the spec.
    pub diff: Vec<SpecChange>,
}

closed_enum! {
    /// What a change did to a policy.
    pub enum ChangeKind {
        /// It was created.
        Created => "created",
        /// It was replaced.
        Updated => "updated",
        /// It was deleted.
        Deleted => "deleted",
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
    /// The stored policy does not meet the precondition.
    #[error("the stored policy does not match the precondition")]
    PreconditionFailed,
    /// A policy of a file or of a cluster has this name.
    #[error("the policy is kept in a file or in a cluster and is read-only")]
    ReadOnly,
    /// The database failed. It is unknown whether a write was stored.
    #[error("the policies cannot be reached")]
    Unavailable,
}
