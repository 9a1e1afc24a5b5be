//! Policies that are custom resources of a cluster: compiled one by one, so that a bad one never hides the good ones.

mod compile;
mod document;
mod known;
mod reason;
mod widest;

pub use known::ActiveResource;
pub use reason::{Holder, Reason};

use super::bounds::Bounds;
use super::matching::Policy;
use crate::model::policy_resource::{
    MAX_OF_A_CLUSTER, MAX_OF_A_NAMESPACE, ObservedStatus, PolicyResource, ResourceChange, ResourceKey, ResourceKind,
    ResourceStatus,
};
use jiff::Timestamp;
use known::{ObservedPolicy, Precedence};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

const EXCESS_OF_NAMESPACE: &str = "The namespace has more than 1000 policies; the oldest 1000 are in force.";
const EXCESS_OF_CLUSTER: &str = "The cluster has more than 50000 policies; the oldest 50000 are in force.";

/// The custom resources of one cluster.
#[derive(Debug)]
pub struct Resources {
    cluster: Arc<str>,
    bounds: Bounds,
    /// The bounds of the namespaces that were seen.
    of_namespaces: HashMap<Box<str>, Arc<Bounds>>,
    known: BTreeMap<ResourceKey, ObservedPolicy>,
    /// The kinds that were read as a whole at least once.
    read: BTreeSet<ResourceKind>,
}

/// A status to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingStatus {
    /// The object.
    pub key: ResourceKey,
    /// Its uid.
    pub uid: Box<str>,
    /// The status.
    pub status: ResourceStatus,
    /// Since when the condition has its truth value; none where that changes now.
    pub since: Option<Timestamp>,
}

impl Resources {
    /// The objects of the cluster of this authenticator, none of which was read yet.
    #[must_use]
    pub fn new(cluster: Arc<str>, bounds: Bounds) -> Self {
        Self { cluster, bounds, of_namespaces: HashMap::new(), known: BTreeMap::new(), read: BTreeSet::new() }
    }

    /// The name of the authenticator.
    #[must_use]
    pub const fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// Whether all objects were read at least once.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.read.len() == ResourceKind::ALL.len()
    }

    /// Takes over what was read. Returns whether other policies may be in force now.
    pub fn take_over(&mut self, changes: Vec<ResourceChange>) -> bool {
        let mut changed = false;
        for change in changes {
            changed |= match change {
                ResourceChange::Listed(kind, resources) => self.list(kind, resources),
                ResourceChange::Applied(resource) => self.apply(*resource),
                ResourceChange::Deleted(key) => self.known.remove(&key).is_some(),
            };
        }
        changed
    }

    fn list(&mut self, kind: ResourceKind, resources: Vec<PolicyResource>) -> bool {
        let there: BTreeSet<ResourceKey> = resources.iter().map(|resource| resource.key.clone()).collect();
        let before = self.known.len();
        self.known.retain(|key, _| key.kind() != kind || there.contains(key));
        let mut changed = self.read.insert(kind) | (self.known.len() != before);
        for resource in resources {
            changed |= self.apply(resource);
        }
        changed
    }

    fn apply(&mut self, resource: PolicyResource) -> bool {
        let key = resource.key.clone();
        if self.known.get_mut(&key).is_some_and(|known| known.observe(&resource)) {
            return false;
        }
        let before = self.known.remove(&key);
        let bounds = key.namespace.as_deref().map(|namespace| self.bounds_of(namespace));
        let known = ObservedPolicy::new(resource, before, &self.cluster, bounds.as_deref().unwrap_or(&self.bounds));
        self.known.insert(key, known);
        true
    }

    fn bounds_of(&mut self, namespace: &str) -> Arc<Bounds> {
        if let Some(bounds) = self.of_namespaces.get(namespace) {
            return bounds.clone();
        }
        let bounds = Arc::new(self.bounds.of_namespace(namespace));
        // Namespaces come and go. What is forgotten is made again.
        if self.of_namespaces.len() >= MAX_OF_A_CLUSTER {
            self.of_namespaces.clear();
        }
        self.of_namespaces.insert(namespace.into(), bounds.clone());
        bounds
    }

    /// Decides which of them are in force beside policies of other sources, and returns those.
    pub fn resolve_names(&mut self, holder: impl Fn(&str) -> Option<Holder>) -> Vec<Arc<Policy>> {
        let excess = self.excess();
        let mut in_force = Vec::with_capacity(self.known.len());
        for (key, known) in &mut self.known {
            let precedence = match (excess.get(key), holder(&known.name)) {
                (Some(why), _) => Precedence::Excess(why),
                (None, Some(holder)) => Precedence::Taken(holder),
                (None, None) => Precedence::Free,
            };
            known.stand(precedence);
            in_force.extend(known.in_force().cloned());
        }
        in_force
    }

    /// Those that are too many, and why.
    fn excess(&self) -> HashMap<ResourceKey, &'static str> {
        let mut excess = HashMap::new();
        if !self.is_crowded() {
            return excess;
        }
        let mut namespaces: BTreeMap<&str, Vec<(&ResourceKey, Timestamp)>> = BTreeMap::new();
        for (key, known) in &self.known {
            if let Some(namespace) = &key.namespace {
                namespaces.entry(namespace).or_default().push((key, known.created_at));
            }
        }
        for policies in namespaces.values_mut().filter(|policies| policies.len() > MAX_OF_A_NAMESPACE) {
            // The key decides between those of one second, so that all replicas agree.
            policies.sort_by_key(|(key, created_at)| (*created_at, *key));
            excess.extend(policies[MAX_OF_A_NAMESPACE..].iter().map(|(key, _)| ((*key).clone(), EXCESS_OF_NAMESPACE)));
        }
        if self.known.len() - excess.len() > MAX_OF_A_CLUSTER {
            let counted = self.known.iter().filter(|(key, _)| !excess.contains_key(key));
            let mut all: Vec<_> = counted.map(|(key, known)| (key.kind(), known.created_at, key)).collect();
            all.sort();
            let beyond: Vec<_> = all[MAX_OF_A_CLUSTER..].iter().map(|(_, _, key)| (*key).clone()).collect();
            excess.extend(beyond.into_iter().map(|key| (key, EXCESS_OF_CLUSTER)));
        }
        excess
    }

    /// Whether a namespace or the cluster has too many.
    fn is_crowded(&self) -> bool {
        if self.known.len() <= MAX_OF_A_NAMESPACE {
            return false;
        }
        // Those of a namespace are next to each other.
        let (mut namespace, mut count) = (None, 0);
        for key in self.known.keys() {
            count = if namespace == key.namespace.as_ref() { count + 1 } else { 1 };
            namespace = key.namespace.as_ref();
            if namespace.is_some() && count > MAX_OF_A_NAMESPACE {
                return true;
            }
        }
        self.known.len() > MAX_OF_A_CLUSTER
    }

    /// Objects of a kind whose spec was not kept, and for which there is room now; at most so many.
    #[must_use]
    pub fn wanted(&self, kind: ResourceKind, most: usize) -> Vec<ResourceKey> {
        let of_kind = self.known.iter().filter(|(key, known)| key.kind() == kind && known.is_wanted());
        of_kind.map(|(key, _)| key.clone()).take(most).collect()
    }

    /// Those that are in force as they are written, by name.
    pub fn shown(&self) -> impl Iterator<Item = (Arc<str>, ActiveResource)> {
        self.known.values().filter_map(|known| Some((known.name.clone(), known.shown()?)))
    }

    /// How many there are of each reason.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Reason, usize> {
        let mut counts: BTreeMap<Reason, usize> = Reason::ALL.into_iter().map(|reason| (reason, 0)).collect();
        for known in self.known.values() {
            *counts.entry(known.reason()).or_default() += 1;
        }
        counts
    }

    /// The statuses that differ from those that are written.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingStatus> {
        let mut pending = Vec::new();
        for (key, known) in &self.known {
            let Some(status) = known.pending_status() else { continue };
            let since = known
                .observed
                .as_ref()
                .filter(|observed| observed.status.ready == status.ready)
                .map(|observed| observed.since);
            pending.push(PendingStatus { key: key.clone(), uid: known.uid().into(), status, since });
        }
        pending
    }

    /// A status was written.
    pub fn written(&mut self, key: &ResourceKey, uid: &str, status: ObservedStatus) {
        if let Some(known) = self.known.get_mut(key).filter(|known| known.uid() == uid) {
            known.observed = Some(status);
        }
    }
}

#[cfg(test)]
mod tests;
