//! The active policies: read from their directory and the database at start, and again after changes.

use super::error::StartError;
use super::policy_bounds::policy_bounds;
use crate::config::Config;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::shadow::ShadowOutcome;
use crate::policy::{Directory, Observer, Policy, PolicyRegister, PolicySet, Reason, RegisterError};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Polling interval for changed files. A mounted `ConfigMap` changes by swapping a link, which file watchers
/// report differently on each platform; polling works the same everywhere.
pub const FILE_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Reports the active policies to the metrics.
struct PolicyMetrics {
    metrics: Arc<Metrics>,
    /// Names of the policies of namespaces, which tenants choose.
    of_namespaces: Mutex<HashSet<Arc<str>>>,
}

impl Observer for PolicyMetrics {
    fn in_force(&self, set: &PolicySet) {
        for policy in set.policies() {
            if policy.is_shadow() {
                for outcome in ShadowOutcome::ALL {
                    self.metrics.start_shadow(policy.name(), outcome.as_str());
                }
            } else {
                self.metrics.start_policy(policy.name());
            }
        }
        self.metrics.set_policies(set.len());
        let names = set.policies().iter().map(|policy| policy.name());
        let now: HashSet<Arc<str>> = names.filter(|name| name.contains('/')).cloned().collect();
        let mut before = self.of_namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        before.difference(&now).for_each(|name| self.metrics.end_policy(name));
        *before = now;
    }

    fn file_faults(&self, count: usize) {
        self.metrics.set_policy_file_faults(count);
    }

    fn resources(&self, cluster: &str, counts: &BTreeMap<Reason, usize>) {
        for (reason, count) in counts {
            self.metrics.set_policy_resources(cluster, reason.as_str(), *count);
        }
    }
}

/// Combines the policies of the directory with those of the database.
pub async fn open(
    config: &Config,
    directory: Option<Directory>,
    database: &Database,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Arc<PolicyRegister>, StartError> {
    let bounds = policy_bounds(config);
    let observer = PolicyMetrics { metrics, of_namespaces: Mutex::default() };
    let register = PolicyRegister::open(directory, database.clone(), clock, bounds, Box::new(observer)).await;
    let register = register.map_err(|error| match error {
        RegisterError::BrokenDeny(broken) => StartError::Configuration(broken),
        RegisterError::Database(error) => StartError::StoredPolicies(error),
    })?;
    register.expect_resources(&config.policies.custom_resources).await;
    if register.in_force().load().is_empty() && config.policies.custom_resources.is_empty() {
        tracing::warn!("no policies are loaded; all requests are denied");
    }
    Ok(Arc::new(register))
}

/// Loads policies that other replicas have written, until the process stops.
pub async fn follow(register: Arc<PolicyRegister>, mut stopped: watch::Receiver<bool>) {
    let mut written = register.listen();
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = written.next() => register.catch_up().await,
            () = &mut stop => return,
        }
    }
}

/// The policies of the configured directory; empty without one.
///
/// # Errors
/// Every fault, as a line for people.
pub fn directory_policies(config: &Config) -> Result<Vec<Arc<Policy>>, Vec<String>> {
    Ok(directory(config)?.map(|directory| directory.policies()).unwrap_or_default())
}

/// Reads the configured directory for the first time.
///
/// # Errors
/// Every fault, as a line for people.
pub fn directory(config: &Config) -> Result<Option<Directory>, Vec<String>> {
    let Some(path) = &config.policies.directory else { return Ok(None) };
    Directory::open(path, policy_bounds(config))
        .map(Some)
        .map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect())
}
