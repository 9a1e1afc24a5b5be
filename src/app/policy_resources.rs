//! Policies that are custom resources: read from each configured cluster, until the process stops.

use crate::cluster::{Cluster, Clusters, PolicyWatch, PolicyWatchError};
use crate::config::Config;
use crate::config::authenticators::{Authenticator, Kind};
use crate::metrics::Metrics;
use crate::model::policy_resource::{ResourceChange, ResourceKind};
use crate::policy::PolicyRegister;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

/// The wait after a failure, doubled with each to [`MAX_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long changes are collected that come together: each makes a new set of all policies.
const BATCH_WINDOW: Duration = Duration::from_millis(50);
/// How many changes are collected at most.
const MAX_BATCH: usize = 1_000;
/// How often objects are looked for that were too many when they were read, and for which there is room now; and how many of them
/// are read each time.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(5);
const MAX_READ_AGAIN: usize = 100;

/// What follows the objects of one cluster.
#[derive(Clone)]
pub struct Follower {
    /// The name of the authenticator.
    pub name: Arc<str>,
    /// Its cluster.
    pub cluster: Arc<Cluster>,
    /// The policies.
    pub register: Arc<PolicyRegister>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// One for each cluster of `policies.customResources`.
pub fn followers(
    config: &Config,
    clusters: &Clusters,
    register: &Arc<PolicyRegister>,
    metrics: &Arc<Metrics>,
) -> Vec<Follower> {
    let follower = |authenticator: &Authenticator| {
        let Kind::Kubernetes(kubernetes) = &authenticator.kind else { return None };
        let cluster = clusters.get(kubernetes.kubeconfig.as_deref())?;
        let name = authenticator.name.clone();
        Some(Follower { name, cluster, register: register.clone(), metrics: metrics.clone() })
    };
    let listed = config.authenticators.iter().filter(|one| config.policies.custom_resources.contains(&one.name));
    listed.filter_map(follower).collect()
}

impl Follower {
    /// Reads the objects of both kinds.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        for kind in ResourceKind::ALL {
            self.metrics.set_policy_watch(&self.name, kind.as_str(), false);
        }
        tokio::select! {
            ((), ()) = async { tokio::join!(self.follow(ResourceKind::ClusterPolicy), self.follow(ResourceKind::Policy)) } => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }

    async fn follow(&self, kind: ResourceKind) {
        let mut objects = self.cluster.watch_policies(kind);
        let mut wait = FIRST_WAIT;
        let mut told: Option<PolicyWatchError> = None;
        let mut look = interval(LOOK_FOR_ROOM);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                next = objects.next() => next,
                _ = look.tick() => {
                    self.read_again(kind).await;
                    continue;
                }
            };
            match next {
                Ok(change) => {
                    if told.take().is_some() {
                        tracing::info!(cluster = &*self.name, kind = kind.as_str(), "custom resources are read again");
                    }
                    wait = FIRST_WAIT;
                    self.metrics.set_policy_watch(&self.name, kind.as_str(), true);
                    let (changes, failed) = collect_batch(change, &mut objects).await;
                    self.register.apply_resource_changes(&self.name, changes).await;
                    if let Some(error) = failed {
                        self.failed(kind, error, &mut told);
                        sleep(wait).await;
                    }
                }
                Err(error) => {
                    self.failed(kind, error, &mut told);
                    sleep(wait).await;
                    wait = (wait * 2).min(MAX_WAIT);
                }
            }
        }
    }

    /// Reads objects for which there is room now. Those that cannot be read are tried again later.
    async fn read_again(&self, kind: ResourceKind) {
        let mut changes = Vec::new();
        for key in self.register.resources_to_read_again(&self.name, kind, MAX_READ_AGAIN).await {
            match self.cluster.read_policy(&key).await {
                Ok(Some(resource)) => changes.push(ResourceChange::Applied(Box::new(resource))),
                // Its deletion is on the way.
                Ok(None) => {}
                Err(_) => break,
            }
        }
        if !changes.is_empty() {
            self.register.apply_resource_changes(&self.name, changes).await;
        }
    }

    fn failed(&self, kind: ResourceKind, error: PolicyWatchError, told: &mut Option<PolicyWatchError>) {
        self.metrics.set_policy_watch(&self.name, kind.as_str(), false);
        if told.replace(error) != Some(error) {
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

/// The change, and those that follow at once.
async fn collect_batch(
    first: ResourceChange,
    objects: &mut PolicyWatch,
) -> (Vec<ResourceChange>, Option<PolicyWatchError>) {
    let mut changes = vec![first];
    let until = Instant::now() + BATCH_WINDOW;
    while changes.len() < MAX_BATCH {
        match timeout_at(until, objects.next()).await {
            Ok(Ok(change)) => changes.push(change),
            Ok(Err(error)) => return (changes, Some(error)),
            Err(_) => break,
        }
    }
    (changes, None)
}
