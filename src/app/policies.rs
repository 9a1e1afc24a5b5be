//! Opens the register of active policies, from the directory and the database, and loads changes of other replicas.

use super::error::StartError;
use super::policy_bounds::policy_bounds;
use super::stop::{Stop, wait_for_stop};
use crate::config::Config;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::shadow::ShadowOutcome;
use crate::policy::{Directory, Policy, PolicyObserver, PolicyRegister, PolicySet, ReadyReason, SetDifference};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Polling interval for changed files. A mounted `ConfigMap` changes by swapping a link, which file watchers
/// report differently on each platform; polling works the same everywhere.
pub const FILE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Reports changes of the active policies to the metrics.
struct PolicyMetrics {
    metrics: Arc<Metrics>,
}

impl PolicyObserver for PolicyMetrics {
    fn policies_activated(&self, set: &PolicySet, difference: &SetDifference) {
        // The name of a tenant's policy contains a slash (namespace/name). Only series of such policies are removed: tenants can
        // make any number of names, so the series of deleted policies would accumulate.
        let removed = difference.removed().filter(|policy| policy.name().contains('/'));
        removed
            .filter(|policy| set.get(policy.name()).is_none())
            .for_each(|policy| self.metrics.remove_policy(policy.name()));
        for policy in difference.added() {
            if policy.is_shadow() {
                for outcome in ShadowOutcome::ALL {
                    self.metrics.init_shadow(policy.name(), outcome.as_str());
                }
            } else {
                self.metrics.init_policy(policy.name());
            }
        }
        self.metrics.set_policies(set.len());
    }

    fn files_read(&self, fault_count: usize) {
        self.metrics.set_policy_file_faults(fault_count);
    }

    fn resources_counted(&self, cluster: &str, counts: &BTreeMap<ReadyReason, usize>) {
        for (reason, count) in counts {
            self.metrics.set_policy_resources(cluster, reason.as_str(), *count);
        }
    }
}

/// Combines the policies of the directory with those of the database.
///
/// # Errors
/// The database cannot be read.
pub async fn open_register(
    config: &Config,
    directory: Option<Directory>,
    database: &Database,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Arc<PolicyRegister>, StartError> {
    let bounds = policy_bounds(config);
    let observer = Box::new(PolicyMetrics { metrics });
    let register = PolicyRegister::open(directory, database.clone(), clock, bounds, observer).await;
    let register = register.map_err(StartError::StoredPolicies)?;
    register.set_clusters(&config.policies.custom_resources).await;
    if register.active_set().load().is_empty() && config.policies.custom_resources.is_empty() {
        tracing::warn!("no policies are loaded; all requests are denied");
    }
    Ok(Arc::new(register))
}

/// Loads the changes that other replicas write to the database, until the process stops.
pub async fn load_remote_changes(register: Arc<PolicyRegister>, stop: Stop) {
    let mut changes = register.listen();
    let stopped = wait_for_stop(stop);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = changes.next() => register.catch_up().await,
            () = &mut stopped => return,
        }
    }
}

/// The policies of the configured directory. Empty if no directory is configured.
///
/// # Errors
/// Every fault, as a line for people.
pub fn directory_policies(config: &Config) -> Result<Vec<Arc<Policy>>, Vec<String>> {
    Ok(open_directory(config)?.map(|directory| directory.policies()).unwrap_or_default())
}

/// Opens the configured directory and reads its policies. `None` if no directory is configured.
///
/// # Errors
/// Every fault, as a line for people.
pub fn open_directory(config: &Config) -> Result<Option<Directory>, Vec<String>> {
    let Some(path) = &config.policies.directory else { return Ok(None) };
    Directory::open(path, policy_bounds(config))
        .map(Some)
        .map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect())
}
