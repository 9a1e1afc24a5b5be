//! The policies in force: read from their directory at start, and again when it changes.

use crate::config::Config;
use crate::metrics::Metrics;
use crate::policy::{Bounds, Directory, FileFault, PolicySet};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// How often files are looked at. A mounted `ConfigMap` changes by a link that is swapped, which file watchers see in
/// as many ways as there are platforms; looking is the same everywhere.
pub const LOOK_FOR_CHANGES: Duration = Duration::from_secs(2);

/// The directory and what is in force of it.
pub struct Policies {
    directory: Option<Directory>,
    in_force: Arc<ArcSwap<PolicySet>>,
    metrics: Arc<Metrics>,
    last_faults: Vec<FileFault>,
}

impl Policies {
    /// Reads the directory for the first time.
    ///
    /// # Errors
    /// Every fault in it, as a line for a person.
    pub fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Self, Vec<String>> {
        let directory = read(config)?;
        let mut policies = Self { directory, in_force: Arc::default(), metrics, last_faults: Vec::new() };
        if policies.directory.is_none() {
            tracing::warn!("no policies.directory is configured: every request will be denied");
        }
        policies.put_in_force();
        Ok(policies)
    }

    /// The set in force, replaced as a whole.
    pub fn in_force(&self) -> Arc<ArcSwap<PolicySet>> {
        self.in_force.clone()
    }

    /// Reads the directory again. A file with a fault keeps its last good policies.
    pub async fn reload_if_changed(&mut self) {
        let Some(mut directory) = self.directory.take() else { return };
        let read = tokio::task::spawn_blocking(move || {
            let reloaded = directory.reload();
            (directory, reloaded)
        });
        // Only a panic while reading loses the directory; what is in force stays.
        let Ok((directory, reloaded)) = read.await else {
            tracing::error!("the policies cannot be read any more; those in force stay");
            return;
        };
        self.directory = Some(directory);
        if reloaded.changed {
            self.put_in_force();
            tracing::info!(policies = self.in_force.load().len(), "policies changed");
        }
        if reloaded.faults != self.last_faults {
            for fault in &reloaded.faults {
                tracing::error!(%fault, "a policy file is not good; its last good version stays in force");
            }
            if reloaded.faults.is_empty() {
                tracing::info!("all policy files are good again");
            }
            self.last_faults = reloaded.faults;
        }
    }

    fn put_in_force(&mut self) {
        let policies = self.directory.as_ref().map(Directory::policies).unwrap_or_default();
        let set = PolicySet::new(policies);
        set.names().for_each(|name| self.metrics.start_policy(name));
        self.metrics.set_policies(set.len());
        self.in_force.store(Arc::new(set));
    }
}

/// Reads the configured directory once and says how many policies are in it.
///
/// # Errors
/// Every fault in it, as a line for a person.
pub fn check(config: &Config) -> Result<usize, Vec<String>> {
    Ok(read(config)?.map_or(0, |directory| directory.policies().len()))
}

fn read(config: &Config) -> Result<Option<Directory>, Vec<String>> {
    let Some(path) = &config.policies.directory else { return Ok(None) };
    Directory::open(path, Bounds::of(config))
        .map(Some)
        .map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect())
}
