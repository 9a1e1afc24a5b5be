//! A policy as a Kubernetes custom resource: the fields that are read, and the status that is written.

use jiff::Timestamp;
use serde_json::Value;
use std::fmt;

/// Maximum size of a spec as JSON text, the same as in the admin API.
pub const MAX_SPEC_BYTES: usize = 64 << 10;
/// Maximum number of active policies per namespace. If there are more, only the oldest ones are active.
pub const MAX_PER_NAMESPACE: usize = 1_000;
/// Maximum number of active policies per cluster. If there are more, only the first ones are active: cluster policies, then the
/// oldest ones.
pub const MAX_PER_CLUSTER: usize = 50_000;

/// The API group of the custom resources.
pub const GROUP: &str = "claviger.dev";
/// The API version of the custom resources.
pub const VERSION: &str = "v1alpha1";

closed_enum! {
    /// The kind of a custom resource.
    pub enum ResourceKind {
        /// Cluster-scoped: it applies to all callers.
        ClusterPolicy => "ClusterPolicy",
        /// Namespaced: it applies to the callers of its namespace.
        Policy => "Policy",
    }
}

impl ResourceKind {
    /// The resource name in URLs and RBAC.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "clusterpolicies",
            Self::Policy => "policies",
        }
    }
}

/// Identifies an object in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The namespace of a `Policy`. `None` for a `ClusterPolicy`.
    pub namespace: Option<Box<str>>,
    /// `metadata.name`.
    pub name: Box<str>,
}

impl ResourceKey {
    /// The kind of the object.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        if self.namespace.is_some() { ResourceKind::Policy } else { ResourceKind::ClusterPolicy }
    }
}

/// The name of the policy in decisions, audit events and metrics: `namespace/name`, or the name of a `ClusterPolicy`.
impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// A custom resource as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyResource {
    /// Namespace and name.
    pub key: ResourceKey,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.generation`, which every change of the spec increments.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created_at: Timestamp,
    /// Time of the last write that was not to the status.
    pub updated_at: Timestamp,
    /// The field manager of the last write that was not to the status. Empty if it is not recorded.
    pub updated_by: Box<str>,
    /// `spec`, not validated.
    pub spec: ResourceSpec,
    /// The status, if Claviger wrote it.
    pub status: Option<ObservedStatus>,
}

/// The spec of an object, or why it is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceSpec {
    /// The complete spec. Null if the object has none.
    Complete(Value),
    /// The spec has more than [`MAX_SPEC_BYTES`].
    TooLarge {
        /// The result of [`may_deny`](super::may_deny::may_deny) for the spec.
        may_deny: bool,
    },
    /// Not kept, because there are too many objects. The spec can be read again when there are fewer.
    Dropped,
}

/// The status of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceStatus {
    /// Whether the condition `Ready` is true.
    pub ready: bool,
    /// The reason of the condition.
    pub reason: Box<str>,
    /// The message of the condition.
    pub message: Box<str>,
    /// `observedGeneration`.
    pub generation: i64,
}

/// The status of an object and the time of its last transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedStatus {
    /// The status.
    pub status: ResourceStatus,
    /// `lastTransitionTime`.
    pub since: Timestamp,
}

/// A change of the custom resources of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceChange {
    /// The complete list of the objects of a kind.
    Listed(ResourceKind, Vec<PolicyResource>),
    /// An object was created or changed.
    Applied(Box<PolicyResource>),
    /// An object was deleted.
    Deleted(ResourceKey),
}
