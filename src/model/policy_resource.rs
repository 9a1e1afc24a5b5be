//! A policy as an object of a Kubernetes API server: what is read of it, and the status that is written to it.

use jiff::Timestamp;
use serde_json::Value;
use std::fmt;

/// The largest spec that is kept, written as JSON: as much as the API takes.
pub const MAX_SPEC_BYTES: usize = 64 << 10;
/// The most policies of one namespace that are in force: the oldest of them.
pub const MAX_OF_A_NAMESPACE: usize = 1_000;
/// The most policies of one cluster that are in force: those of the cluster first, then the oldest.
pub const MAX_OF_A_CLUSTER: usize = 50_000;

/// The API group of the custom resources.
pub const GROUP: &str = "claviger.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";

/// The two custom resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// Of the cluster: it may speak of all callers.
    ClusterPolicy,
    /// Of a namespace: it speaks of the callers of that namespace.
    Policy,
}

impl ResourceKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ClusterPolicy, Self::Policy];

    /// The kind in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "ClusterPolicy",
            Self::Policy => "Policy",
        }
    }

    /// The resource in URLs and in RBAC.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ClusterPolicy => "clusterpolicies",
            Self::Policy => "policies",
        }
    }
}

/// What identifies an object in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The namespace of a `Policy`; a `ClusterPolicy` has none.
    pub namespace: Option<Box<str>>,
    /// `metadata.name`.
    pub name: Box<str>,
}

impl ResourceKey {
    /// The kind that such an object has.
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

/// One object as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyResource {
    /// Where it is.
    pub key: ResourceKey,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.generation`: changes with every change of the spec.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created_at: Timestamp,
    /// Time of the last write, the status apart.
    pub updated_at: Timestamp,
    /// The field manager of the last write, the status apart; empty if it is not recorded.
    pub updated_by: Box<str>,
    /// `spec`, not checked.
    pub spec: ResourceSpec,
    /// The status that is written on it, if it is one of ours.
    pub status: Option<ObservedStatus>,
}

/// The spec of an object, as far as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceSpec {
    /// All of it; null if the object has none.
    Whole(Value),
    /// It has more than [`MAX_SPEC_BYTES`].
    TooLarge {
        /// Whether it does not plainly allow.
        may_deny: bool,
    },
    /// The object was left out because there are too many. It can be read again when there is room.
    Dropped,
}

/// The status of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceStatus {
    /// Whether the condition `Ready` is true.
    pub ready: bool,
    /// Its reason.
    pub reason: Box<str>,
    /// Its message.
    pub message: Box<str>,
    /// The generation that it speaks of.
    pub generation: i64,
}

/// A status that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedStatus {
    /// The status.
    pub status: ResourceStatus,
    /// `lastTransitionTime`.
    pub since: Timestamp,
}

/// What a read of a cluster's objects tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceChange {
    /// All objects of a kind.
    Listed(ResourceKind, Vec<PolicyResource>),
    /// An object was made or changed.
    Applied(Box<PolicyResource>),
    /// An object is gone.
    Deleted(ResourceKey),
}
