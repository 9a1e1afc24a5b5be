//! Custom resources: taken over as they are read, after files and database in the order of names.

use super::PolicyRegister;
use crate::model::policy_resource::{ObservedStatus, ResourceChange, ResourceKey, ResourceKind};
use crate::policy::matching::Policy;
use crate::policy::resources::{Holder, PendingStatus, Resources};
use crate::policy::store::compiled::Compiled;
use crate::policy::store::port::StoredPolicy;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

impl PolicyRegister {
    /// Expects the custom resources of these clusters, by the names of their authenticators. Until all of a cluster were read the
    /// set in force is incomplete.
    pub async fn expect_resources(&self, clusters: &[Arc<str>]) {
        if clusters.is_empty() {
            return;
        }
        let mut state = self.state.lock().await;
        state.resources = clusters.iter().map(|name| Resources::new(name.clone(), self.bounds.clone())).collect();
        self.put_in_force(&mut state);
    }

    /// Takes over what was read of a cluster.
    pub async fn take_over_resources(&self, cluster: &str, changes: Vec<ResourceChange>) {
        let mut state = self.state.lock().await;
        let Some(at) = state.resources.iter().position(|resources| **resources.cluster() == *cluster) else { return };
        // Thousands of policies take a second to compile.
        // Meanwhile the cluster counts as unread, so that a panic or a cancellation here never loses a deny policy.
        let unread = Resources::new(state.resources[at].cluster().clone(), self.bounds.clone());
        let mut resources = std::mem::replace(&mut state.resources[at], unread);
        let compiled = tokio::task::spawn_blocking(move || {
            let was_read = resources.is_read();
            let changed = resources.take_over(changes);
            (resources, changed, was_read)
        });
        let Ok((resources, changed, was_read)) = compiled.await else {
            tracing::error!(cluster, "custom resources could not be taken over; this replica is not ready");
            self.put_in_force(&mut state);
            return;
        };
        let is_read = resources.is_read();
        state.resources[at] = resources;
        if changed {
            self.put_in_force(&mut state);
            tracing::info!(cluster, policies = self.in_force.load().len(), "policies changed");
        } else {
            self.statuses.send_replace(());
        }
        if is_read && !was_read {
            tracing::info!(cluster, "all custom resources of the cluster have been read");
        }
    }

    /// Objects of a kind in a cluster whose spec was not kept because there were too many, and for which there is room now; at most
    /// so many.
    pub async fn wanted_resources(&self, cluster: &str, kind: ResourceKind, most: usize) -> Vec<ResourceKey> {
        let state = self.state.lock().await;
        let resources = state.resources.iter().find(|resources| **resources.cluster() == *cluster);
        resources.map(|resources| resources.wanted(kind, most)).unwrap_or_default()
    }

    /// Changes whenever a status may have become another one.
    #[must_use]
    pub fn status_changes(&self) -> watch::Receiver<()> {
        self.statuses.subscribe()
    }

    /// The statuses of a cluster that are to be written. None before all of its objects were read.
    pub async fn pending_statuses(&self, cluster: &str) -> Vec<PendingStatus> {
        let state = self.state.lock().await;
        let resources = state.resources.iter().find(|resources| **resources.cluster() == *cluster);
        resources.filter(|resources| resources.is_read()).map(Resources::pending).unwrap_or_default()
    }

    /// A status was written.
    pub async fn status_written(&self, cluster: &str, key: &ResourceKey, uid: &str, status: ObservedStatus) {
        let mut state = self.state.lock().await;
        if let Some(resources) = state.resources.iter_mut().find(|resources| **resources.cluster() == *cluster) {
            resources.written(key, uid, status);
        }
    }

    /// The policies of clusters that are in force beside those of files and database.
    pub(super) fn resolve_resource_names(
        &self,
        files: &BTreeMap<String, StoredPolicy>,
        compiled: &Compiled,
        clusters: &mut [Resources],
    ) -> Vec<Arc<Policy>> {
        let mut in_force: Vec<Arc<Policy>> = Vec::new();
        let mut shown = Vec::new();
        let mut holders: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
        let several = clusters.len() > 1;
        for resources in clusters {
            let policies = resources.resolve_names(|name| {
                if files.contains_key(name) {
                    Some(Holder::File)
                } else if compiled.has(name) {
                    Some(Holder::Api)
                } else {
                    holders.get(name).map(|cluster| Holder::Cluster(cluster.clone()))
                }
            });
            if several {
                holders.extend(policies.iter().map(|policy| (policy.name().clone(), resources.cluster().clone())));
            }
            in_force.extend(policies);
            shown.extend(resources.shown());
            self.observer.resources(resources.cluster(), &resources.counts());
        }
        // Built at once: one by one takes several times as long. Names are distinct.
        self.resources.store(Arc::new(shown.into_iter().collect()));
        self.statuses.send_replace(());
        in_force
    }

    /// The policy of a cluster that is in force under this name.
    pub(super) fn resource(&self, name: &str) -> Option<StoredPolicy> {
        self.resources.load().get(name).map(crate::policy::resources::ActiveResource::stored)
    }
}
