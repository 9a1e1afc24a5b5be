//! Policies that are custom resources of a cluster. Each is compiled on its own, so an invalid one does not affect the others.

mod compile;
mod observed_policy;
mod ready_reason;
mod resource_document;

pub use observed_policy::ActiveResource;
pub use ready_reason::{NameOwner, ReadyReason};

use super::bounds::Bounds;
use super::compiled_policy::Policy;
use crate::model::policy_resource::{
    MAX_PER_CLUSTER, MAX_PER_NAMESPACE, ObservedStatus, PolicyResource, ResourceChange, ResourceKey, ResourceKind,
    ResourceStatus,
};
use jiff::Timestamp;
use observed_policy::{ObservedPolicy, Precedence};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Message of the status of a policy beyond the limit of its namespace.
const NAMESPACE_EXCESS_MESSAGE: &str = "The namespace has more than 1000 policies; the oldest 1000 are in force.";
/// Message of the status of a policy beyond the limit of the cluster.
const CLUSTER_EXCESS_MESSAGE: &str = "The cluster has more than 50000 policies; the oldest 50000 are in force.";

/// The custom resources of one cluster.
#[derive(Debug)]
pub struct ClusterResources {
    /// The name of the cluster's authenticator.
    cluster: Arc<str>,
    bounds: Bounds,
    /// A cache of the bounds of namespaces.
    namespace_bounds: HashMap<Box<str>, Arc<Bounds>>,
    policies: BTreeMap<ResourceKey, ObservedPolicy>,
    /// The kinds of which all objects were read at least once.
    listed_kinds: BTreeSet<ResourceKind>,
}

/// A status that has to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingStatus {
    /// The object.
    pub key: ResourceKey,
    /// The uid of the object.
    pub uid: Box<str>,
    /// The status.
    pub status: ResourceStatus,
    /// The time since which the condition `Ready` has its value; `None` if this status changes the value.
    pub since: Option<Timestamp>,
}

impl ClusterResources {
    /// The custom resources of the cluster of this authenticator, before any was read.
    #[must_use]
    pub fn new(cluster: Arc<str>, bounds: Bounds) -> Self {
        Self {
            cluster,
            bounds,
            namespace_bounds: HashMap::new(),
            policies: BTreeMap::new(),
            listed_kinds: BTreeSet::new(),
        }
    }

    /// The name of the cluster's authenticator.
    #[must_use]
    pub const fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// Whether all objects were read at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.listed_kinds.len() == ResourceKind::ALL.len()
    }

    /// Applies changes. Returns whether the active policies may have changed.
    pub fn apply_changes(&mut self, changes: Vec<ResourceChange>) -> bool {
        let mut changed = false;
        for change in changes {
            changed |= match change {
                ResourceChange::Listed(kind, resources) => self.replace_kind(kind, resources),
                ResourceChange::Applied(resource) => self.apply(*resource),
                ResourceChange::Deleted(key) => self.policies.remove(&key).is_some(),
            };
        }
        changed
    }

    /// Replaces all objects of a kind.
    fn replace_kind(&mut self, kind: ResourceKind, resources: Vec<PolicyResource>) -> bool {
        let present: BTreeSet<ResourceKey> = resources.iter().map(|resource| resource.key.clone()).collect();
        let count_before = self.policies.len();
        self.policies.retain(|key, _| key.kind() != kind || present.contains(key));
        let mut changed = self.listed_kinds.insert(kind) | (self.policies.len() != count_before);
        for resource in resources {
            changed |= self.apply(resource);
        }
        changed
    }

    fn apply(&mut self, resource: PolicyResource) -> bool {
        let key = resource.key.clone();
        if self.policies.get_mut(&key).is_some_and(|policy| policy.update_metadata(&resource)) {
            return false;
        }
        let previous = self.policies.remove(&key);
        let bounds = key.namespace.as_deref().map(|namespace| self.bounds_of(namespace));
        let policy = ObservedPolicy::new(resource, previous, &self.cluster, bounds.as_deref().unwrap_or(&self.bounds));
        self.policies.insert(key, policy);
        true
    }

    /// The bounds of the policies of a namespace.
    fn bounds_of(&mut self, namespace: &str) -> Arc<Bounds> {
        if let Some(bounds) = self.namespace_bounds.get(namespace) {
            return bounds.clone();
        }
        let bounds = Arc::new(self.bounds.for_namespace(namespace));
        // Limits the cache, because namespaces are created and deleted. Bounds that are missing are computed again.
        if self.namespace_bounds.len() >= MAX_PER_CLUSTER {
            self.namespace_bounds.clear();
        }
        self.namespace_bounds.insert(namespace.into(), bounds.clone());
        bounds
    }

    /// Decides which policies are active, and returns them. For a policy name, `owner` returns the source with higher precedence
    /// that has a policy of this name, if any.
    pub fn resolve_names(&mut self, owner: impl Fn(&str) -> Option<NameOwner>) -> Vec<Arc<Policy>> {
        let excess = self.excess();
        let mut active = Vec::with_capacity(self.policies.len());
        for (key, policy) in &mut self.policies {
            let precedence = match (excess.get(key), owner(&policy.name)) {
                (Some(message), _) => Precedence::Excess(message),
                (None, Some(owner)) => Precedence::NameTaken(owner),
                (None, None) => Precedence::Free,
            };
            policy.set_precedence(precedence);
            active.extend(policy.active_policy().cloned());
        }
        active
    }

    /// The policies beyond the limits, with the message for the status.
    fn excess(&self) -> HashMap<ResourceKey, &'static str> {
        let mut excess = HashMap::new();
        if !self.exceeds_limits() {
            return excess;
        }
        let mut namespaces: BTreeMap<&str, Vec<(&ResourceKey, Timestamp)>> = BTreeMap::new();
        for (key, policy) in &self.policies {
            if let Some(namespace) = &key.namespace {
                namespaces.entry(namespace).or_default().push((key, policy.created_at));
            }
        }
        for policies in namespaces.values_mut().filter(|policies| policies.len() > MAX_PER_NAMESPACE) {
            // Creation times are in seconds. Between equal times the key decides, so that all replicas agree.
            policies.sort_by_key(|(key, created_at)| (*created_at, *key));
            excess.extend(
                policies[MAX_PER_NAMESPACE..].iter().map(|(key, _)| ((*key).clone(), NAMESPACE_EXCESS_MESSAGE)),
            );
        }
        if self.policies.len() - excess.len() > MAX_PER_CLUSTER {
            let counted = self.policies.iter().filter(|(key, _)| !excess.contains_key(key));
            let mut all: Vec<_> = counted.map(|(key, policy)| (key.kind(), policy.created_at, key)).collect();
            all.sort();
            let beyond: Vec<_> = all[MAX_PER_CLUSTER..].iter().map(|(_, _, key)| (*key).clone()).collect();
            excess.extend(beyond.into_iter().map(|key| (key, CLUSTER_EXCESS_MESSAGE)));
        }
        excess
    }

    /// Whether a namespace or the cluster has too many policies.
    fn exceeds_limits(&self) -> bool {
        if self.policies.len() <= MAX_PER_NAMESPACE {
            return false;
        }
        // In the map, policies of one namespace are adjacent.
        let (mut namespace, mut count) = (None, 0);
        for key in self.policies.keys() {
            count = if namespace == key.namespace.as_ref() { count + 1 } else { 1 };
            namespace = key.namespace.as_ref();
            if namespace.is_some() && count > MAX_PER_NAMESPACE {
                return true;
            }
        }
        self.policies.len() > MAX_PER_CLUSTER
    }

    /// At most `limit` objects of a kind whose specs have to be read again, because the specs were dropped and the objects are now
    /// within the limits.
    #[must_use]
    pub fn keys_to_read_again(&self, kind: ResourceKind, limit: usize) -> Vec<ResourceKey> {
        let of_kind = self.policies.iter().filter(|(key, policy)| key.kind() == kind && policy.has_to_be_read_again());
        of_kind.map(|(key, _)| key.clone()).take(limit).collect()
    }

    /// The active policies, by name.
    pub fn active_resources(&self) -> impl Iterator<Item = (Arc<str>, ActiveResource)> {
        self.policies.values().filter_map(|policy| Some((policy.name.clone(), policy.active_resource()?)))
    }

    /// The number of objects with each reason.
    #[must_use]
    pub fn count_by_reason(&self) -> BTreeMap<ReadyReason, usize> {
        let mut counts: BTreeMap<ReadyReason, usize> = ReadyReason::ALL.iter().map(|reason| (*reason, 0)).collect();
        for policy in self.policies.values() {
            *counts.entry(policy.reason()).or_default() += 1;
        }
        counts
    }

    /// The statuses that differ from those of the objects.
    #[must_use]
    pub fn pending_statuses(&self) -> Vec<PendingStatus> {
        let mut pending = Vec::new();
        for (key, policy) in &self.policies {
            let Some(status) = policy.pending_status() else { continue };
            let since = policy
                .status
                .as_ref()
                .filter(|observed| observed.status.ready == status.ready)
                .map(|observed| observed.since);
            pending.push(PendingStatus { key: key.clone(), uid: policy.uid().into(), status, since });
        }
        pending
    }

    /// Records a status that was written, unless the object has since been replaced by one with another uid.
    pub fn record_status(&mut self, key: &ResourceKey, uid: &str, status: ObservedStatus) {
        if let Some(policy) = self.policies.get_mut(key).filter(|policy| policy.uid() == uid) {
            policy.status = Some(status);
        }
    }
}

#[cfg(test)]
mod tests;
