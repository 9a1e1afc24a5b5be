//! The active policies: read from their directory and the database at start, and again after changes.

use super::error::StartError;
use super::policy_bounds::policy_bounds;
use crate::config::Config;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::policy::{Directory, Observer, Policy, PolicyRegister, PolicySet, RegisterError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Polling interval for changed files. A mounted `ConfigMap` changes by swapping a link, which file watchers
/// report differently on each platform; polling works the same everywhere.
pub const LOOK_FOR_CHANGES: Duration = Duration::from_secs(2);

/// Reports the active policies to the metrics.
struct Counted(Arc<Metrics>);

impl Observer for Counted {
    fn in_force(&self, set: &PolicySet) {
        set.names().for_each(|name| self.0.start_policy(name));
        self.0.set_policies(set.len());
    }

    fn file_faults(&self, count: usize) {
        self.0.set_policy_file_faults(count);
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
    let register = PolicyRegister::open(directory, database.clone(), clock, bounds, Box::new(Counted(metrics))).await;
    let register = register.map_err(|error| match error {
        RegisterError::BrokenDeny(broken) => StartError::Configuration(broken),
        RegisterError::Database(error) => StartError::StoredPolicies(error),
    })?;
    if register.in_force().load().is_empty() {
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
