//! Custom resources in the register: applies their changes, resolves conflicts of names, and lists pending statuses.

use super::PolicyRegister;
use crate::model::policy_resource::{ObservedStatus, ResourceChange, ResourceKey, ResourceKind};
use crate::policy::compiled_policy::Policy;
use crate::policy::resources::{ActiveResource, ClusterResources, NameOwner, PendingStatus};
use crate::policy::store::compiled_policies::CompiledPolicies;
use crate::policy::store::port::PolicyRecord;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

impl PolicyRegister {
    /// Sets the clusters, by the names of their authenticators. Until all custom resources of a cluster were read, the active set
    /// is marked as lacking them.
    pub async fn set_clusters(&self, clusters: &[Arc<str>]) {
        if clusters.is_empty() {
            return;
        }
        let mut state = self.state.lock().await;
        state.clusters = clusters.iter().map(|name| ClusterResources::new(name.clone(), self.bounds.clone())).collect();
        self.activate(&mut state);
    }

    /// Applies changes of the custom resources of a cluster.
    pub async fn apply_resource_changes(&self, cluster: &str, changes: Vec<ResourceChange>) {
        let mut state = self.state.lock().await;
        let Some(index) = state.clusters.iter().position(|resources| **resources.cluster() == *cluster) else {
            return;
        };
        // Compiling thousands of policies takes a second. Meanwhile the cluster counts as unread, so that a panic or a cancellation
        // does not lose a deny policy unnoticed.
        let unread = ClusterResources::new(state.clusters[index].cluster().clone(), self.bounds.clone());
        let mut resources = std::mem::replace(&mut state.clusters[index], unread);
        let task = tokio::task::spawn_blocking(move || {
            let was_complete = resources.is_complete();
            let changed = resources.apply_changes(changes);
            (resources, changed, was_complete)
        });
        let Ok((resources, changed, was_complete)) = task.await else {
            tracing::error!(cluster, "custom resources could not be compiled; this replica is not ready");
            self.activate(&mut state);
            return;
        };
        let is_complete = resources.is_complete();
        state.clusters[index] = resources;
        if changed {
            self.activate(&mut state);
            tracing::info!(cluster, policies = self.active_set.load().len(), "policies changed");
        } else {
            self.status_changes.send_replace(());
        }
        if is_complete && !was_complete {
            tracing::info!(cluster, "all custom resources of the cluster have been read");
        }
    }

    /// Objects of a kind whose specs must be read again, at most `limit`. Their specs were dropped while the cluster had too many
    /// objects.
    pub async fn resources_to_read_again(&self, cluster: &str, kind: ResourceKind, limit: usize) -> Vec<ResourceKey> {
        let state = self.state.lock().await;
        let resources = state.clusters.iter().find(|resources| **resources.cluster() == *cluster);
        resources.map(|resources| resources.keys_to_read_again(kind, limit)).unwrap_or_default()
    }

    /// A receiver that is notified when the status of a custom resource may have changed.
    #[must_use]
    pub fn status_changes(&self) -> watch::Receiver<()> {
        self.status_changes.subscribe()
    }

    /// The statuses of a cluster that have to be written; none before all its objects were read.
    pub async fn pending_statuses(&self, cluster: &str) -> Vec<PendingStatus> {
        let state = self.state.lock().await;
        let resources = state.clusters.iter().find(|resources| **resources.cluster() == *cluster);
        resources
            .filter(|resources| resources.is_complete())
            .map(ClusterResources::pending_statuses)
            .unwrap_or_default()
    }

    /// Records a status that was written.
    pub async fn record_written_status(&self, cluster: &str, key: &ResourceKey, uid: &str, status: ObservedStatus) {
        let mut state = self.state.lock().await;
        if let Some(resources) = state.clusters.iter_mut().find(|resources| **resources.cluster() == *cluster) {
            resources.record_status(key, uid, status);
        }
    }

    /// Decides which policies of clusters are active beside those of files and database, and returns them.
    pub(super) fn resolve_resource_names(
        &self,
        files: &BTreeMap<String, PolicyRecord>,
        api_policies: &CompiledPolicies,
        clusters: &mut [ClusterResources],
    ) -> Vec<Arc<Policy>> {
        let mut active: Vec<Arc<Policy>> = Vec::new();
        let mut resources_by_name = Vec::new();
        let mut owners: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
        let several = clusters.len() > 1;
        for resources in clusters {
            let policies = resources.resolve_names(|name| {
                if files.contains_key(name) {
                    Some(NameOwner::File)
                } else if api_policies.contains(name) {
                    Some(NameOwner::Api)
                } else {
                    owners.get(name).map(|cluster| NameOwner::Cluster(cluster.clone()))
                }
            });
            if several {
                owners.extend(policies.iter().map(|policy| (policy.name().clone(), resources.cluster().clone())));
            }
            active.extend(policies);
            resources_by_name.extend(resources.active_resources());
            self.observer.resources_counted(resources.cluster(), &resources.count_by_reason());
        }
        // Collecting all at once is several times as fast as inserting one by one. Names are distinct.
        self.active_resources.store(Arc::new(resources_by_name.into_iter().collect()));
        self.status_changes.send_replace(());
        active
    }

    /// The active policy with this name, if it is that of the latest spec of a custom resource.
    pub(super) fn find_resource(&self, name: &str) -> Option<PolicyRecord> {
        self.active_resources.load().get(name).and_then(ActiveResource::to_record)
    }
}
