//! Combines the policies of files, database and clusters into one active set. `api` has the operations of the API,
//! `resources` applies changes of custom resources.
//!
//! Names are unique. A file takes precedence over the database, and the database over custom resources, regardless of which was
//! there first. So all replicas agree, and a stored policy cannot block a file's policy by taking its name first.

mod api;
mod resources;

use super::compiled_policies::{CompiledPolicies, InvalidPolicy, Substitute};
use super::port::PolicyRecord;
use super::records::PolicyTables;
use crate::database::{Database, DatabaseError, Listener};
use crate::model::clock::Clock;
use crate::policy::bounds::Bounds;
use crate::policy::directory::{Directory, FileFault, ReloadResult};
use crate::policy::resources::{ActiveResource, ClusterResources, ReadyReason};
use crate::policy::set::PolicySet;
use crate::policy::slots::SetDifference;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// Receives the state of the policies, for metrics.
pub trait PolicyObserver: Send + Sync {
    /// A new set was activated; `difference` compares it with the previous set.
    fn policies_activated(&self, set: &PolicySet, difference: &SetDifference);

    /// The files were read, and have this many faults.
    fn files_read(&self, fault_count: usize);

    /// The custom resources of a cluster were counted by the reason in their status.
    fn resources_counted(&self, cluster: &str, counts: &BTreeMap<ReadyReason, usize>);
}

impl PolicyObserver for () {
    fn policies_activated(&self, _set: &PolicySet, _difference: &SetDifference) {}

    fn files_read(&self, _fault_count: usize) {}

    fn resources_counted(&self, _cluster: &str, _counts: &BTreeMap<ReadyReason, usize>) {}
}

/// All policies of this server.
pub struct PolicyRegister {
    tables: PolicyTables,
    bounds: Bounds,
    active_set: Arc<ArcSwap<PolicySet>>,
    /// The policies of the files, by name, for reads without the lock.
    files: ArcSwap<BTreeMap<String, PolicyRecord>>,
    /// The active policies of clusters, by name.
    active_resources: ArcSwap<BTreeMap<Arc<str>, ActiveResource>>,
    /// Notified when the status of a custom resource may have changed.
    status_changes: watch::Sender<()>,
    state: Mutex<RegisterState>,
    observer: Box<dyn PolicyObserver>,
}

/// The state behind the lock.
struct RegisterState {
    directory: Option<Directory>,
    compiled_policies: CompiledPolicies,
    /// One per cluster; earlier clusters take precedence for names.
    clusters: Vec<ClusterResources>,
    /// The faults at the last reload; logged when they change.
    file_faults: Vec<FileFault>,
    /// Names that both the database and a file have.
    name_conflicts: BTreeSet<String>,
    /// Whether the last read of the database failed.
    database_unavailable: bool,
}

impl PolicyRegister {
    /// Reads all stored policies and activates them together with those of the directory.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn open(
        directory: Option<Directory>,
        database: Database,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        observer: Box<dyn PolicyObserver>,
    ) -> Result<Self, DatabaseError> {
        let tables = PolicyTables::new(database, clock);
        let mut compiled_policies = CompiledPolicies::default();
        log_invalid(&compiled_policies.apply(tables.read_all().await?, &bounds));
        let state = RegisterState {
            directory,
            compiled_policies,
            clusters: Vec::new(),
            file_faults: Vec::new(),
            name_conflicts: BTreeSet::new(),
            database_unavailable: false,
        };
        let register = Self {
            tables,
            bounds,
            active_set: Arc::default(),
            files: ArcSwap::default(),
            active_resources: ArcSwap::default(),
            status_changes: watch::Sender::new(()),
            state: Mutex::new(state),
            observer,
        };
        {
            let mut state = register.state.lock().await;
            register.publish_files(&state);
            register.activate(&mut state);
        }
        Ok(register)
    }

    /// The cell of the active set. A change replaces the set in it.
    #[must_use]
    pub fn active_set(&self) -> Arc<ArcSwap<PolicySet>> {
        self.active_set.clone()
    }

    /// The stored deny policies that do not compile, with their faults, one line each.
    pub async fn invalid_deny_policies(&self) -> Vec<String> {
        let state = self.state.lock().await;
        let denying =
            state.compiled_policies.invalid_policies().filter(|policy| policy.substitute != Substitute::Nothing);
        denying.map(ToString::to_string).collect()
    }

    /// A listener for writes of other replicas. Must be called within a Tokio runtime.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.tables.listen()
    }

    /// Applies the writes of all replicas since the last call. If the database cannot be read, nothing changes.
    pub async fn catch_up(&self) {
        let mut state = self.state.lock().await;
        match self.tables.read_since(state.compiled_policies.last_revision()).await {
            Ok(changes) => {
                if std::mem::take(&mut state.database_unavailable) {
                    tracing::info!("stored policies are available again");
                }
                if changes.is_complete || !changes.policies.is_empty() {
                    log_invalid(&state.compiled_policies.apply(changes, &self.bounds));
                    self.activate(&mut state);
                    tracing::info!(policies = self.active_set.load().len(), "policies changed");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut state.database_unavailable, true) {
                    tracing::error!(
                        kind = error.kind(),
                        "stored policies are unavailable; keeping the policies in force"
                    );
                }
            }
        }
    }

    /// Reads the directory again, by [`Directory::reload`].
    pub async fn reload_files(&self) {
        self.reload_with(Directory::reload).await;
    }

    /// Reads the directory again at an operator's request, by [`Directory::reload_confirmed`].
    pub async fn reload_files_confirmed(&self) {
        self.reload_with(Directory::reload_confirmed).await;
    }

    async fn reload_with(&self, reload: fn(&mut Directory) -> ReloadResult) {
        let mut state = self.state.lock().await;
        // The state keeps its directory until the task ends, so that a panic or a cancellation does not lose the policies of files.
        let Some(mut directory) = state.directory.clone() else { return };
        let task = tokio::task::spawn_blocking(move || {
            let result = reload(&mut directory);
            (directory, result)
        });
        // The task fails only if it panics.
        let Ok((directory, result)) = task.await else {
            tracing::error!("the policy directory is unreadable; keeping the policies in force");
            return;
        };
        state.directory = Some(directory);
        if result.changed {
            self.publish_files(&state);
            self.activate(&mut state);
            tracing::info!(policies = self.active_set.load().len(), "policies changed");
        }
        self.observer.files_read(result.faults.len());
        if result.faults != state.file_faults {
            for fault in &result.faults {
                tracing::error!(%fault, "a policy file is invalid; keeping its last valid version in force");
            }
            if result.faults.is_empty() {
                tracing::info!("all policy files are valid again");
            }
            state.file_faults = result.faults;
        }
    }

    /// Updates the policies of files that the API reads.
    fn publish_files(&self, state: &RegisterState) {
        let policies = state.directory.as_ref().map(Directory::policy_records).unwrap_or_default();
        let by_name = policies.into_iter().map(|policy| (policy.name.clone(), policy));
        self.files.store(Arc::new(by_name.collect()));
    }

    /// Combines the policies of all sources and activates the set.
    fn activate(&self, state: &mut RegisterState) {
        let files = self.files.load();
        let (conflicting, free): (Vec<_>, Vec<_>) =
            state.compiled_policies.policies().partition(|(name, _)| files.contains_key(*name));
        for (name, policy) in conflicting.iter().filter(|(name, _)| !state.name_conflicts.contains(*name)) {
            let effect = if policy.denies() { "deny" } else { "allow" };
            tracing::error!(policy = name, effect, "a stored policy is not in force; a policy file has the same name");
        }
        let file_policies = state.directory.as_ref().map(Directory::policies).unwrap_or_default();
        let stored = free.into_iter().map(|(_, policy)| policy.clone());
        let mut policies: Vec<_> = file_policies.into_iter().chain(stored).collect();
        state.name_conflicts = conflicting.into_iter().map(|(name, _)| name.to_owned()).collect();
        policies.extend(self.resolve_resource_names(&files, &state.compiled_policies, &mut state.clusters));
        let unread = state.clusters.iter().filter(|resources| !resources.is_complete());
        // Only this function stores a set, and its caller holds the lock, so the set that is compared is the set that is replaced.
        let (set, difference) = self.active_set.load().with_policies(policies);
        let set = set.with_unread_clusters(unread.map(|resources| resources.cluster().clone()));
        self.observer.policies_activated(&set, &difference);
        self.active_set.store(Arc::new(set));
    }
}

fn log_invalid(invalid: &[Arc<InvalidPolicy>]) {
    for policy in invalid {
        let consequence = match policy.substitute {
            Substitute::Nothing => "it is not in force",
            Substitute::LastValidDeny => "its last valid version stays in force",
            Substitute::BroadestDeny => "it denies nevertheless, and what cannot be read of it matches everything",
        };
        tracing::error!(broken = %policy, consequence, "a stored policy is invalid on this server");
    }
}

#[cfg(test)]
mod tests;
