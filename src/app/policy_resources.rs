//! Watches the policies that are custom resources in each configured cluster.

use crate::cluster::{Cluster, Clusters, PolicyWatch, PolicyWatchError};
use crate::config::Config;
use crate::config::authenticators::{Authenticator, Kind};
use crate::metrics::Metrics;
use crate::model::policy_resource::{ResourceChange, ResourceKind};
use crate::policy::PolicyRegister;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

/// The delay after the first failure. It doubles with each further failure in a row, to at most [`MAX_RETRY_DELAY`].
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Changes that arrive within this time are applied together, because each batch compiles a new set of all policies.
const BATCH_WINDOW: Duration = Duration::from_millis(50);
/// Maximum number of changes in a batch. Further changes are in the next batch.
const MAX_BATCH: usize = 1_000;
/// How often the register is asked for objects whose specs were dropped while the cluster had too many, and which now fit.
const REREAD_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of objects that are read again each time. The rest follows the next time.
const MAX_REREADS: usize = 100;

/// Watches the policies of one cluster.
#[derive(Clone)]
pub struct PolicyResourceWatcher {
    /// Name of the authenticator that configures the cluster.
    pub name: Arc<str>,
    pub cluster: Arc<Cluster>,
    pub register: Arc<PolicyRegister>,
    pub metrics: Arc<Metrics>,
}

/// A watcher for each cluster in `policies.customResources`.
pub fn resource_watchers(
    config: &Config,
    clusters: &Clusters,
    register: &Arc<PolicyRegister>,
    metrics: &Arc<Metrics>,
) -> Vec<PolicyResourceWatcher> {
    let watcher = |authenticator: &Authenticator| {
        let Kind::Kubernetes(kubernetes) = &authenticator.kind else { return None };
        let cluster = clusters.get(kubernetes.kubeconfig.as_deref())?;
        let name = authenticator.name.clone();
        Some(PolicyResourceWatcher { name, cluster, register: register.clone(), metrics: metrics.clone() })
    };
    let listed = config.authenticators.iter().filter(|entry| config.policies.custom_resources.contains(&entry.name));
    listed.filter_map(watcher).collect()
}

impl PolicyResourceWatcher {
    /// Watches both kinds continually. Never returns.
    pub async fn run(self) {
        for &kind in ResourceKind::ALL {
            self.metrics.set_policy_watch(&self.name, kind.as_str(), false);
        }
        tokio::join!(self.watch(ResourceKind::ClusterPolicy), self.watch(ResourceKind::Policy));
    }

    async fn watch(&self, kind: ResourceKind) {
        let mut policy_watch = self.cluster.watch_policies(kind);
        let mut retry_delay = MIN_RETRY_DELAY;
        let mut last_error: Option<PolicyWatchError> = None;
        let mut ticks = interval(REREAD_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                next = policy_watch.next() => next,
                _ = ticks.tick() => {
                    self.reread(kind).await;
                    continue;
                }
            };
            match next {
                Ok(change) => {
                    if last_error.take().is_some() {
                        tracing::info!(
                            cluster = &*self.name,
                            kind = kind.as_str(),
                            "custom resources can be read again"
                        );
                    }
                    retry_delay = MIN_RETRY_DELAY;
                    self.metrics.set_policy_watch(&self.name, kind.as_str(), true);
                    let (changes, error) = collect_batch(change, &mut policy_watch).await;
                    self.register.apply_resource_changes(&self.name, changes).await;
                    if let Some(error) = error {
                        self.report_failure(kind, error, &mut last_error);
                        sleep(retry_delay).await;
                    }
                }
                Err(error) => {
                    self.report_failure(kind, error, &mut last_error);
                    sleep(retry_delay).await;
                    retry_delay = (retry_delay * 2).min(MAX_RETRY_DELAY);
                }
            }
        }
    }

    /// Reads the objects whose specs the register dropped and which now fit. After a failure, the rest is read at the next tick.
    async fn reread(&self, kind: ResourceKind) {
        let mut changes = Vec::new();
        for key in self.register.resources_to_read_again(&self.name, kind, MAX_REREADS).await {
            match self.cluster.read_policy(&key).await {
                Ok(Some(resource)) => changes.push(ResourceChange::Applied(Box::new(resource))),
                // The watch will report its deletion.
                Ok(None) => {}
                Err(_) => break,
            }
        }
        if !changes.is_empty() {
            self.register.apply_resource_changes(&self.name, changes).await;
        }
    }

    fn report_failure(&self, kind: ResourceKind, error: PolicyWatchError, last_error: &mut Option<PolicyWatchError>) {
        self.metrics.set_policy_watch(&self.name, kind.as_str(), false);
        if last_error.replace(error) != Some(error) {
            tracing::warn!(
                cluster = &*self.name,
                kind = kind.as_str(),
                %error,
                "custom resources cannot be read; those that were read stay in force, and a cluster that was never read keeps \
                 this replica unready"
            );
        }
    }
}

/// The first change, the changes that follow within [`BATCH_WINDOW`], and the error that ended the batch, if any.
async fn collect_batch(
    first: ResourceChange,
    policy_watch: &mut PolicyWatch,
) -> (Vec<ResourceChange>, Option<PolicyWatchError>) {
    let mut changes = vec![first];
    let deadline = Instant::now() + BATCH_WINDOW;
    while changes.len() < MAX_BATCH {
        match timeout_at(deadline, policy_watch.next()).await {
            Ok(Ok(change)) => changes.push(change),
            Ok(Err(error)) => return (changes, Some(error)),
            Err(_) => break,
        }
    }
    (changes, None)
}
